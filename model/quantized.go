package model

import (
	"encoding/json"
	"fmt"
	"strings"

	"bdlora/data/safetensors"
	"bdlora/kernels"
)

// Quantised weights lie in safetensors files under the names that bitsandbytes gives
// them in transformers, beside the weight's own, as in …q_proj.weight:
//
//	nf4   …weight                                U8 [⌈out·in/2⌉, 1]   codes
//	      …weight.absmax                         U8 [blocks]
//	      …weight.nested_absmax                  F32 [nested blocks]
//	      …weight.quant_map                      F32 [16]             kernels.NF4Map
//	      …weight.nested_quant_map               F32 [256]            kernels.DynamicMap
//	      …weight.quant_state.bitsandbytes__nf4  U8                   quantState as JSON
//	int8  …weight                                I8 [out, in]         codes
//	      …SCB                                   F32 [out]            absmax of the rows
const stateSuffix = ".quant_state.bitsandbytes__nf4"

// quantState is what bitsandbytes has to know of a weight beside its numbers.
type quantState struct {
	QuantType       string  `json:"quant_type"`
	BlockSize       int     `json:"blocksize"`
	Dtype           string  `json:"dtype"` // that the weight had
	Shape           [2]int  `json:"shape"`
	NestedBlockSize int     `json:"nested_blocksize"`
	NestedDtype     string  `json:"nested_dtype"`
	NestedOffset    float32 `json:"nested_offset"`
}

// torchNames are the formats of files as PyTorch calls them.
var torchNames = map[kernels.Format]string{
	kernels.FormatF32: "float32", kernels.FormatBF16: "bfloat16", kernels.FormatF16: "float16",
}

// quantizedEntries are the tensors of a quantised weight, which was of that format.
func quantizedEntries(w *kernels.Weight, was kernels.Format) ([]safetensors.Entry, error) {
	if q := w.Int8; q != nil {
		return []safetensors.Entry{
			safetensors.FromBytes(w.Name, []int{w.Rows, w.Cols}, q.Codes),
			safetensors.FromF32(scaleName(w.Name), []int{w.Rows}, q.Absmax),
		}, nil
	}
	q := w.NF4
	state, err := json.Marshal(quantState{
		"nf4", kernels.NF4Block, torchNames[was], [2]int{w.Rows, w.Cols}, kernels.NF4NestedBlock, "float32", q.Offset,
	})
	return []safetensors.Entry{
		safetensors.FromBytes(w.Name, []int{len(q.Codes), 1}, q.Codes),
		safetensors.FromBytes(w.Name+".absmax", []int{len(q.Absmax)}, q.Absmax),
		safetensors.FromF32(w.Name+".nested_absmax", []int{len(q.NestedAbsmax)}, q.NestedAbsmax),
		safetensors.FromF32(w.Name+".quant_map", []int{len(kernels.NF4Map)}, kernels.NF4Map[:]),
		safetensors.FromF32(w.Name+".nested_quant_map", []int{len(kernels.DynamicMap)}, kernels.DynamicMap[:]),
		safetensors.FromBytes(w.Name+stateSuffix, []int{len(state)}, state),
	}, err
}

// scaleName is where the scales of an int8 weight lie.
func scaleName(weight string) string { return strings.TrimSuffix(weight, "weight") + "SCB" }

// readQuantized makes w, a weight as in the model's files, the quantised one of its
// name in files, of which it becomes a view.
func readQuantized(files *safetensors.Model, w *kernels.Weight) error {
	q := &kernels.Weight{Name: w.Name, Rows: w.Rows, Cols: w.Cols}
	t, ok := files.Tensor(w.Name)
	if !ok {
		return fmt.Errorf("tensor %q is missing", w.Name)
	}
	var err error
	if t.Dtype == safetensors.I8 {
		q.Format = kernels.FormatInt8
		q.Int8, err = readInt8(files, t, q)
	} else {
		q.Format = kernels.FormatNF4
		q.NF4, err = readNF4(files, t, q)
	}
	if err == nil {
		*w = *q
	}
	return err
}

func readInt8(files *safetensors.Model, codes *safetensors.Tensor, w *kernels.Weight) (*kernels.Int8, error) {
	scales, err := quantizedPart(files, scaleName(w.Name), safetensors.F32, w.Rows)
	if err != nil {
		return nil, err
	}
	if codes.Elements() != w.Rows*w.Cols {
		return nil, fmt.Errorf("tensor %q has shape %v, want [%d %d]", w.Name, codes.Shape, w.Rows, w.Cols)
	}
	q := &kernels.Int8{}
	if q.Codes, err = codes.I8(); err != nil {
		return nil, err
	}
	q.Absmax, err = scales.F32()
	return q, err
}

func readNF4(files *safetensors.Model, codes *safetensors.Tensor, w *kernels.Weight) (*kernels.NF4, error) {
	blocks := (w.Rows*w.Cols + kernels.NF4Block - 1) / kernels.NF4Block
	absmax, err := quantizedPart(files, w.Name+".absmax", safetensors.U8, blocks)
	if err != nil {
		return nil, err
	}
	nestedBlocks := (blocks + kernels.NF4NestedBlock - 1) / kernels.NF4NestedBlock
	nested, err := quantizedPart(files, w.Name+".nested_absmax", safetensors.F32, nestedBlocks)
	if err != nil {
		return nil, err
	}
	text, ok := files.Tensor(w.Name + stateSuffix)
	if !ok {
		return nil, fmt.Errorf("tensor %q is missing", w.Name+stateSuffix)
	}
	var state quantState
	if err := json.Unmarshal(text.Bytes(), &state); err != nil {
		return nil, fmt.Errorf("tensor %q: %w", text.Name, err)
	}
	want := quantState{"nf4", kernels.NF4Block, state.Dtype, [2]int{w.Rows, w.Cols}, kernels.NF4NestedBlock,
		"float32", state.NestedOffset}
	if state != want || codes.Dtype != safetensors.U8 || codes.Elements() != (w.Rows*w.Cols+1)/2 {
		return nil, fmt.Errorf("tensor %q is %s %v of %+v, want %+v", w.Name, codes.Dtype, codes.Shape, state, want)
	}
	q := &kernels.NF4{Codes: codes.Bytes(), Absmax: absmax.Bytes(), Offset: state.NestedOffset}
	q.NestedAbsmax, err = nested.F32()
	return q, err
}

// quantizedPart is the vector of that name.
func quantizedPart(files *safetensors.Model, name string, dtype safetensors.Dtype, n int) (*safetensors.Tensor, error) {
	t, ok := files.Tensor(name)
	if !ok {
		return nil, fmt.Errorf("tensor %q is missing", name)
	}
	if t.Dtype != dtype || t.Elements() != n {
		return nil, fmt.Errorf("tensor %q is %s %v, want %s [%d]", name, t.Dtype, t.Shape, dtype, n)
	}
	return t, nil
}
