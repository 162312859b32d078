package model

import (
	"context"
	"fmt"

	"bdlora/bdlora"
	"bdlora/kernels"
)

// BaseDtype is how the frozen weights of the linears in the layers are held, which are
// what adapters sit on. Embedding, head and norms are held as in the model's files, as
// bitsandbytes and QLoRA do.
type BaseDtype string

// The ways there are.
const (
	BaseAuto BaseDtype = "auto" // as in the model's files
	BaseInt8 BaseDtype = "int8" // [kernels.Int8]: 8 bits a number, and 32 a row
	BaseNF4  BaseDtype = "nf4"  // [kernels.NF4]: 4.13 bits a number
)

// ParseBaseDtype is the one of that name, empty for BaseAuto.
func ParseBaseDtype(name string) (BaseDtype, error) {
	switch d := BaseDtype(name); d {
	case "":
		return BaseAuto, nil
	case BaseAuto, BaseInt8, BaseNF4:
		return d, nil
	}
	return "", fmt.Errorf("got %q, want %q, %q or %q", name, BaseAuto, BaseInt8, BaseNF4)
}

// format is that of kernels; BaseAuto has none.
func (d BaseDtype) format() kernels.Format {
	if d == BaseInt8 {
		return kernels.FormatInt8
	}
	return kernels.FormatNF4
}

// bytes is the size of a linear's weight.
func (d BaseDtype) bytes(lin bdlora.Linear) int64 {
	const float32Bytes = 4
	rows, n := int64(lin.Out), int64(lin.Out)*int64(lin.In)
	if d == BaseInt8 {
		return n + float32Bytes*rows
	}
	blocks := (n + kernels.NF4Block - 1) / kernels.NF4Block
	nested := (blocks + kernels.NF4NestedBlock - 1) / kernels.NF4NestedBlock
	return (n+1)/2 + blocks + float32Bytes*(nested+1)
}

// QuantizeConfig says where quantised weights come from.
type QuantizeConfig struct {
	// CacheDir is the folder that keeps quantised weights for the next start, made if
	// it is not there. Empty quantises into memory, and keeps nothing.
	CacheDir string
	Threads  int // to quantise on; 0 is one
	// Progress, if not nil, hears of each layer that had to be quantised.
	Progress func(done, total int)
}

// HoldAs says how the linears of the layers are to be held: WeightBytes counts them so,
// and Quantize makes them so. Until then they are those of the files.
func (m *Model) HoldAs(d BaseDtype) { m.base = d }

// BaseDtype is how the linears of the layers are held, or are to be; see HoldAs.
func (m *Model) BaseDtype() BaseDtype {
	if m.base == "" {
		return BaseAuto
	}
	return m.base
}

// Quantize brings the linears of the layers into m's BaseDtype: mapped from the folder
// c.CacheDir, where a first start puts them, a layer at a time, so that neither the
// model nor its quantised weights are ever in memory whole. It does nothing for
// BaseAuto. Nothing may have been made of m before.
//
// Its error is that of ctx, that of a weight that is no number, or one that names the
// cache: a folder that cannot be written is for the user to choose anew, not to be
// silently done without.
func (m *Model) Quantize(ctx context.Context, c QuantizeConfig) error {
	switch {
	case m.BaseDtype() == BaseAuto:
		return nil
	case c.CacheDir == "" || m.files == nil:
		return m.quantizeInMemory(ctx, c)
	}
	files, err := openCache(ctx, m, c)
	if err != nil {
		return fmt.Errorf("model: base_dtype %s: %w", m.base, err)
	}
	m.quantized = files
	for l := range m.layers {
		for _, w := range m.layers[l].linears {
			if err := readQuantized(files, w); err != nil {
				return fmt.Errorf("model: base_dtype %s: %w", m.base, err)
			}
		}
	}
	return nil
}

func (m *Model) quantizeInMemory(ctx context.Context, c QuantizeConfig) error {
	for l := range m.layers {
		quantized, err := m.quantizeLayer(ctx, l, c)
		if err != nil {
			return fmt.Errorf("model: base_dtype %s: %w", m.base, err)
		}
		m.layers[l].linears = quantized
	}
	return nil
}

// quantizeLayer returns the linears of layer l, quantised. Their pages of the files are
// not needed any more.
func (m *Model) quantizeLayer(ctx context.Context, l int, c QuantizeConfig) (map[string]*kernels.Weight, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	quantized := map[string]*kernels.Weight{}
	for name, w := range m.layers[l].linears {
		q, err := w.Quantize(m.base.format(), c.Threads)
		if err != nil {
			return nil, err
		}
		quantized[name] = q
		m.release(w.Name)
	}
	if c.Progress != nil {
		c.Progress(l+1, len(m.layers))
	}
	return quantized, nil
}

// release lets go of the pages of a tensor of the files.
func (m *Model) release(name string) {
	if m.files == nil {
		return
	}
	if t, ok := m.files.Tensor(name); ok {
		t.Release()
	}
}
