package model

import (
	"fmt"
	"math"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// NewRandom returns a model of c's shape with random float32 weights, for tests and
// benchmarks: U(−√3/√in, √3/√in) for a linear, so that activations keep their
// scale, and gains of about 1.
func NewRandom(c *Config, seed uint64) *Model {
	r := random{config: c, seed: seed, format: kernels.FormatF32, base: BaseAuto}
	return r.model()
}

// NewRandomAs is the model of [NewRandom] rounded to bfloat16, gains left out, with the
// linears of its layers held as d. It is never in memory in any other form.
func NewRandomAs(c *Config, seed uint64, d BaseDtype) *Model {
	r := random{config: c, seed: seed, format: kernels.FormatBF16, base: d}
	return r.model()
}

// NewRandomPart is the part that a process of group has of a random model in bfloat16,
// the only part that is ever in memory. The numbers are others for each process: for
// measuring what larger models than fit into one take.
//
// It refuses a group as [Model.Join] does.
func NewRandomPart(c *Config, seed uint64, group comm.Comm) (*Model, error) {
	if err := (&Model{Config: c}).Join(group); err != nil {
		return nil, err
	}
	r := random{config: c, seed: seed + uint64(group.Proc()), format: kernels.FormatBF16, base: BaseAuto, group: group}
	m := r.model()
	m.cut, m.group = true, group
	return m, nil
}

// random draws a model.
type random struct {
	config *Config
	seed   uint64
	format kernels.Format // FormatF32 or FormatBF16
	base   BaseDtype
	group  comm.Comm // that shares the model; nil if nobody does
	spare  []uint16  // what a linear is drawn into that is then quantised
}

func (r *random) model() *Model {
	c := r.config
	m := &Model{Config: c, base: r.base, norm: r.gains("model.norm.weight")}
	vocabulary := r.share(c.Vocab)
	m.embed = r.matrix("model.embed_tokens.weight", vocabulary, c.Hidden)
	m.head = m.embed
	if !c.TiedHead {
		m.head = r.matrix("lm_head.weight", vocabulary, c.Hidden)
	}
	for l := range c.Layers {
		path := fmt.Sprintf("model.layers.%d.", l)
		w := layerWeights{linears: map[string]*kernels.Weight{}}
		w.inputNorm = r.gains(path + "input_layernorm.weight")
		w.postAttentionNorm = r.gains(path + "post_attention_layernorm.weight")
		for _, lin := range c.Linears() {
			out, in := r.share(lin.Out), lin.In
			if lin.Parallel == bdlora.RowParallel {
				out, in = lin.Out, r.share(lin.In)
			}
			w.linears[lin.Name] = r.linear(path+lin.Name+".weight", out, in)
		}
		m.layers = append(m.layers, w)
	}
	return m
}

// share is how many of n rows or columns are this process's.
func (r *random) share(n int) int {
	if r.group == nil {
		return n
	}
	from, to := share(r.group.Proc(), r.group.Procs(), n)
	return to - from
}

func (r *random) gains(name string) []float32 {
	gains := make([]float32, r.config.Hidden)
	uniform{r.seed, name, 1, 0.5}.fillF32(gains)
	return gains
}

func (r *random) matrix(name string, rows, cols int) *kernels.Weight {
	w := &kernels.Weight{Name: name, Format: r.format, Rows: rows, Cols: cols}
	draw := uniform{r.seed, name, 0, math.Sqrt(3 / float64(cols))}
	if r.format == kernels.FormatF32 {
		w.F32 = make([]float32, rows*cols)
		draw.fillF32(w.F32)
	} else {
		w.U16 = make([]uint16, rows*cols)
		draw.fillBF16(w.U16)
	}
	return w
}

// linear is matrix as r.base holds it.
func (r *random) linear(name string, rows, cols int) *kernels.Weight {
	if r.base == BaseAuto {
		return r.matrix(name, rows, cols)
	}
	if len(r.spare) < rows*cols {
		r.spare = make([]uint16, rows*cols)
	}
	w := &kernels.Weight{Name: name, Format: kernels.FormatBF16, Rows: rows, Cols: cols, U16: r.spare[:rows*cols]}
	uniform{r.seed, name, 0, math.Sqrt(3 / float64(cols))}.fillBF16(w.U16)
	quantized, err := w.Quantize(r.base.format(), runtime.GOMAXPROCS(0))
	if err != nil {
		panic(fmt.Sprintf("model: random weights: %v", err)) // they are finite
	}
	return quantized
}

// uniform draws from U(middle−bound, middle+bound) for the tensor of that name.
type uniform struct {
	seed          uint64
	name          string
	middle, bound float64
}

func (u uniform) fillF32(dst []float32) {
	u.fill(len(dst), func(from int, part []float32) { copy(dst[from:], part) })
}

func (u uniform) fillBF16(dst []uint16) {
	u.fill(len(dst), func(from int, part []float32) {
		to := dst[from : from+len(part)]
		for i, x := range part {
			to[i] = kernels.Float32ToBF16(x)
		}
	})
}

// fill draws n numbers on all processors and hands them out in parts, each with the
// place where it begins. Each part has a source of its own, so that who draws it
// makes no difference.
func (u uniform) fill(n int, emit func(from int, part []float32)) {
	const size = 1 << 14
	parts, key := (n+size-1)/size, keyOf(u.name)
	var next atomic.Int64
	var all sync.WaitGroup
	for range min(parts, runtime.GOMAXPROCS(0)) {
		all.Go(func() {
			numbers := make([]float32, size)
			for part := int(next.Add(1)) - 1; part < parts; part = int(next.Add(1)) - 1 {
				from := part * size
				some := numbers[:min(size, n-from)]
				u.draw(some, rand.NewPCG(u.seed, key+uint64(part)))
				emit(from, some)
			}
		})
	}
	all.Wait()
}

// draw makes four numbers of each 64 bits: 65,536 different ones are random enough.
func (u uniform) draw(numbers []float32, source *rand.PCG) {
	middle, step := float32(u.middle), float32(u.bound/(1<<15))
	bits := uint64(0)
	for i := range numbers {
		if i%4 == 0 {
			bits = source.Uint64()
		}
		numbers[i] = middle + step*float32(int16(bits))
		bits >>= 16
	}
}
