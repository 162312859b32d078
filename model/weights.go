package model

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"bdlora/bdlora"
	"bdlora/data/safetensors"
	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// Model is a Llama model with frozen weights, which stay where they are: in the
// memory-mapped files of a Hugging Face folder.
type Model struct {
	Config *Config
	Dir    string // it was loaded from; empty if from none

	embed  *kernels.Weight // [vocab, hidden]
	layers []layerWeights
	norm   []float32       // [hidden]
	head   *kernels.Weight // [vocab, hidden]; embed if the head is tied
	files  *safetensors.Model

	base      BaseDtype          // see HoldAs
	group     comm.Comm          // see Join; nil if m is whole
	cut       bool               // the matrices are but this process's part
	quantized *safetensors.Model // the linears, if they are mapped from a cache
}

// layerWeights are the weights of one layer. Linears go by their path below the
// layer, as in [Config.Linears].
type layerWeights struct {
	inputNorm, postAttentionNorm []float32
	linears                      map[string]*kernels.Weight
}

// Load reads the config of a Hugging Face folder and maps its weights.
//
// Its error names everything that is missing, of another shape or dtype, or not of a
// Llama model. Close unmaps the weights.
func Load(dir string) (*Model, error) {
	c, err := ReadConfig(dir)
	if err != nil {
		return nil, err
	}
	files, err := safetensors.OpenModel(dir)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	m, err := newModel(c, files)
	err = errors.Join(err, refuseBiases(files))
	if err != nil {
		return nil, fmt.Errorf("model: %s:\n%w", dir, errors.Join(err, files.Close()))
	}
	m.Dir, m.files = dir, files
	return m, nil
}

// Close unmaps the weights. Nothing of m may be used afterwards.
func (m *Model) Close() error {
	var errs []error
	for _, files := range []*safetensors.Model{m.files, m.quantized} {
		if files != nil {
			errs = append(errs, files.Close())
		}
	}
	return errors.Join(errs...)
}

// WeightBytes is the size of the weights in their files, those of the layers' linears
// in the model's [BaseDtype], and of all matrices this process's part; 0 if they are in
// no files.
func (m *Model) WeightBytes() int64 {
	if m.files == nil {
		return 0
	}
	size, procs := int64(0), int64(m.Group().Procs())
	for _, t := range m.files.Tensors() {
		size += int64(len(t.Bytes())) / procs // the norms, which all have, are nothing beside
	}
	for l := range m.layers {
		for _, lin := range m.Config.Linears() {
			if t, ok := m.files.Tensor(fmt.Sprintf("model.layers.%d.%s.weight", l, lin.Name)); ok {
				inFile := int64(len(t.Bytes()))
				held := inFile
				if m.BaseDtype() != BaseAuto {
					held = m.base.bytes(lin)
				}
				size += partBytes(lin, held, procs) - inFile/procs
			}
		}
	}
	return size
}

// partBytes is what one of so many processes reads of a linear of that size. Columns
// come in whole pages of each row.
func partBytes(l bdlora.Linear, size, procs int64) int64 {
	if procs == 1 || l.Parallel == bdlora.ColumnParallel {
		return size / procs
	}
	const page = 4 << 10
	return min(size, size/procs+page*int64(l.Out))
}

// Base is what an adapter has to know of m.
func (m *Model) Base() bdlora.Base { return m.Config.Base(m.Dir) }

func newModel(c *Config, files *safetensors.Model) (*Model, error) {
	r := reader{files: files}
	m := &Model{Config: c}
	m.embed = r.matrix("model.embed_tokens.weight", c.Vocab, c.Hidden)
	m.norm = r.vector("model.norm.weight", c.Hidden)
	m.head = m.embed
	if !c.TiedHead {
		m.head = r.matrix("lm_head.weight", c.Vocab, c.Hidden)
	}
	for l := range c.Layers {
		path := fmt.Sprintf("model.layers.%d.", l)
		w := layerWeights{linears: map[string]*kernels.Weight{}}
		w.inputNorm = r.vector(path+"input_layernorm.weight", c.Hidden)
		w.postAttentionNorm = r.vector(path+"post_attention_layernorm.weight", c.Hidden)
		for _, lin := range c.Linears() {
			w.linears[lin.Name] = r.matrix(path+lin.Name+".weight", lin.Out, lin.In)
		}
		m.layers = append(m.layers, w)
	}
	return m, errors.Join(r.errs...)
}

// reader collects what is wrong with the tensors that a model asks for.
type reader struct {
	files *safetensors.Model
	errs  []error
}

// matrix is the frozen [rows, cols] weight of that name.
func (r *reader) matrix(name string, rows, cols int) *kernels.Weight {
	w := &kernels.Weight{Name: name, Rows: rows, Cols: cols}
	if t := r.tensor(name, rows, cols); t != nil {
		w = r.weight(name, t, rows, cols)
	}
	return w
}

// weight is a view of t's numbers.
func (r *reader) weight(name string, t *safetensors.Tensor, rows, cols int) *kernels.Weight {
	w := &kernels.Weight{Name: name, Rows: rows, Cols: cols}
	var err error
	switch t.Dtype {
	case safetensors.F32:
		w.Format = kernels.FormatF32
		w.F32, err = t.F32()
	case safetensors.BF16:
		w.Format = kernels.FormatBF16
		w.U16, err = t.U16()
	case safetensors.F16:
		w.Format = kernels.FormatF16
		w.U16, err = t.U16()
	default:
		err = fmt.Errorf("tensor %q has dtype %s, want F32, BF16 or F16", name, t.Dtype)
	}
	if err != nil {
		r.errs = append(r.errs, err)
	}
	return w
}

// vector is the tensor of that name in float32, copied.
func (r *reader) vector(name string, length int) []float32 {
	host := make([]float32, length)
	if t := r.tensor(name, length); t != nil {
		w := r.weight(name, t, 1, length)
		copy(host, w.F32)
		for i, bits := range w.U16 {
			host[i] = w.Format.Float32(bits)
		}
	}
	return host
}

// tensor is the tensor of that name and shape, or nil.
func (r *reader) tensor(name string, shape ...int) *safetensors.Tensor {
	t, ok := r.files.Tensor(name)
	switch {
	case !ok:
		r.errs = append(r.errs, fmt.Errorf("tensor %q is missing", name))
		return nil
	case !slices.Equal(t.Shape, shape):
		r.errs = append(r.errs, fmt.Errorf("tensor %q has shape %v, want %v", name, t.Shape, shape))
		return nil
	}
	return t
}

// refuseBiases reports tensors that Llama has none of but a kin of it could.
func refuseBiases(files *safetensors.Model) error {
	var errs []error
	for _, t := range files.Tensors() {
		if strings.HasSuffix(t.Name, ".bias") {
			errs = append(errs, fmt.Errorf("tensor %q: got a bias, want a model without", t.Name))
		}
	}
	return errors.Join(errs...)
}
