package bdlora

import (
	"fmt"
	"io"
	"math"

	"bdlora/data/safetensors"
	"bdlora/kernels"
)

// Merge adds the adapter to the weight of one of its linears: w += s·B·A, where w is
// the [Out, In] matrix of module m in b's memory. Of a part of an adapter it adds that.
func (a *Adapter) Merge(b kernels.Backend, w kernels.Matrix, m Module) {
	for i, shard := range a.Shards {
		b.MatMul(m.shardOf(w, a.First+i), m.Scaling, upload(b, m.B, shard), upload(b, m.A, shard), true)
	}
}

// shardOf is the part of the module's weight that a shard holds.
func (m Module) shardOf(w kernels.Matrix, shard int) kernels.Matrix {
	if m.Linear.Parallel == RowParallel {
		return w.ColRange(shard*m.A.Cols, (shard+1)*m.A.Cols)
	}
	return w.RowRange(shard*m.B.Rows, (shard+1)*m.B.Rows)
}

// upload copies one factor of a shard into b's memory.
func upload(b kernels.Backend, f Factor, shard []float32) kernels.Matrix {
	buf := b.Alloc(f.Len())
	b.Upload(buf, f.Of(shard))
	return kernels.NewMatrix(buf, f.Rows, f.Cols)
}

// Merged says what merging did to the weights.
type Merged struct {
	Modules int // linears changed
	// MaxDelta is the largest change of a weight, and MaxRounding the largest
	// distance between a weight and the float32 sum that it was rounded from: 0
	// where the model is in float32.
	MaxDelta, MaxRounding float64
	// RoundedTensor is where MaxRounding is, empty if it is 0.
	RoundedTensor string
}

// merger merges one tensor after another.
type merger struct {
	backend kernels.Backend
	adapter *Adapter
	modules map[string]Module // by the name of the weight
	report  Merged
}

func newMerger(b kernels.Backend, a *Adapter) *merger {
	g := &merger{backend: b, adapter: a, modules: make(map[string]Module)}
	for _, m := range a.Plan.Modules {
		g.modules[m.Path()+".weight"] = m
	}
	return g
}

// entry is the tensor t as the merged model has it: in the same dtype, changed if
// it is the weight of an adapted linear, in which case it is computed when it is
// written.
func (g *merger) entry(t *safetensors.Tensor) safetensors.Entry {
	e := safetensors.Entry{Name: t.Name, Dtype: t.Dtype, Shape: t.Shape}
	m, adapted := g.modules[t.Name]
	e.Data = func(w io.Writer) error {
		if !adapted {
			_, err := w.Write(t.Bytes())
			return err
		}
		return g.write(w, t, m)
	}
	return e
}

// write writes t + s·B·A, summed in float32 and rounded once.
func (g *merger) write(w io.Writer, t *safetensors.Tensor, m Module) error {
	before, err := floats(t)
	if err != nil {
		return err
	}
	buf := g.backend.Alloc(len(before))
	g.backend.Upload(buf, before)
	g.adapter.Merge(g.backend, kernels.NewMatrix(buf, m.Linear.Out, m.Linear.In), m)
	after := make([]float32, len(before))
	g.backend.Download(after, buf)
	g.report.Modules++
	for i := range after {
		delta := math.Abs(float64(after[i]) - float64(before[i]))
		g.report.MaxDelta = max(g.report.MaxDelta, delta)
	}
	if t.Dtype == safetensors.F32 {
		return safetensors.FromF32(t.Name, t.Shape, after).Data(w)
	}
	bits, err := g.round(t, after)
	if err != nil {
		return err
	}
	return safetensors.FromU16(t.Name, t.Dtype, t.Shape, bits).Data(w)
}

// round rounds values to t's dtype and notes the largest error.
func (g *merger) round(t *safetensors.Tensor, values []float32) ([]uint16, error) {
	bits := make([]uint16, len(values))
	for i, v := range values {
		bits[i] = encode16(t.Dtype, v)
		rounding := math.Abs(float64(decode16(t.Dtype, bits[i])) - float64(v))
		if math.IsInf(rounding, 0) {
			return nil, fmt.Errorf("tensor %q: element %d is %g, which %s cannot hold", t.Name, i, v, t.Dtype)
		}
		if rounding > g.report.MaxRounding {
			g.report.MaxRounding, g.report.RoundedTensor = rounding, t.Name
		}
	}
	return bits, nil
}
