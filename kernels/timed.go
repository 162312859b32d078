package kernels

import "time"

// Call is one call of a kernel, as [Timed] saw it.
type Call struct {
	Kernel      string  // the method: "Linear"
	Weight      *Weight // of Linear, LinearBackward and Embed; nil of the others
	Time        time.Duration
	Flops       float64 // of a matrix product or of attention, addends left out; 0 of the others
	AddendFlops float64 // of the addends of Linear and LinearBackward
}

// Timed is a [Backend] that hands every call on to another one and reports each
// kernel's when it is done. It adds two looks at the clock to a kernel, and nothing
// to what a kernel computes.
type Timed struct {
	Backend
	report func(Call)
}

var _ Backend = (*Timed)(nil)

// NewTimed returns a Backend that computes on be and reports its calls, one after
// another, on the goroutine that made them.
func NewTimed(be Backend, report func(Call)) *Timed { return &Timed{be, report} }

// done reports a kernel that began then.
func (t *Timed) done(began time.Time, c Call) {
	c.Time = time.Since(began)
	t.report(c)
}

// Linear is that of the Backend below.
func (t *Timed) Linear(y, x Matrix, w *Weight, addends ...Addend) {
	began := time.Now()
	t.Backend.Linear(y, x, w, addends...)
	t.done(began, Call{
		Kernel: "Linear", Weight: w, Flops: Flops(x.Rows, w.Cols, w.Rows), AddendFlops: addendFlops(addends),
	})
}

// LinearBackward is that of the Backend below.
func (t *Timed) LinearBackward(dx, dy Matrix, w *Weight, add bool, addends ...Addend) {
	began := time.Now()
	t.Backend.LinearBackward(dx, dy, w, add, addends...)
	t.done(began, Call{
		Kernel: "LinearBackward", Weight: w, Flops: Flops(dy.Rows, w.Rows, w.Cols), AddendFlops: addendFlops(addends),
	})
}

func addendFlops(addends []Addend) float64 {
	sum := 0.0
	for _, a := range addends {
		sum += Flops(a.A.Rows, a.A.Cols, a.B.Cols)
	}
	return sum
}

// MatMul is that of the Backend below.
func (t *Timed) MatMul(c Matrix, alpha float64, a, b Matrix, add bool) {
	began := time.Now()
	t.Backend.MatMul(c, alpha, a, b, add)
	t.done(began, Call{Kernel: "MatMul", Flops: Flops(a.Rows, a.Cols, b.Cols)})
}

// Copy is that of the Backend below.
func (t *Timed) Copy(y, x Matrix) {
	began := time.Now()
	t.Backend.Copy(y, x)
	t.done(began, Call{Kernel: "Copy"})
}

// Add is that of the Backend below.
func (t *Timed) Add(y, x Matrix) {
	began := time.Now()
	t.Backend.Add(y, x)
	t.done(began, Call{Kernel: "Add"})
}

// Clear is that of the Backend below.
func (t *Timed) Clear(b Buf) {
	began := time.Now()
	t.Backend.Clear(b)
	t.done(began, Call{Kernel: "Clear"})
}

// Scale is that of the Backend below.
func (t *Timed) Scale(b Buf, factor float64) {
	began := time.Now()
	t.Backend.Scale(b, factor)
	t.done(began, Call{Kernel: "Scale"})
}

// Embed is that of the Backend below.
func (t *Timed) Embed(y Matrix, w *Weight, tokens []int32) {
	began := time.Now()
	t.Backend.Embed(y, w, tokens)
	t.done(began, Call{Kernel: "Embed", Weight: w})
}

// RMSNorm is that of the Backend below.
func (t *Timed) RMSNorm(y Matrix, inv Buf, x Matrix, gain Buf, eps float64) {
	began := time.Now()
	t.Backend.RMSNorm(y, inv, x, gain, eps)
	t.done(began, Call{Kernel: "RMSNorm"})
}

// RMSNormBackward is that of the Backend below.
func (t *Timed) RMSNormBackward(dx, dy, x Matrix, inv, gain Buf) {
	began := time.Now()
	t.Backend.RMSNormBackward(dx, dy, x, inv, gain)
	t.done(began, Call{Kernel: "RMSNormBackward"})
}

// RoPE is that of the Backend below.
func (t *Timed) RoPE(x Matrix, positions []int32, r *Rotary, inverse bool) {
	began := time.Now()
	t.Backend.RoPE(x, positions, r, inverse)
	t.done(began, Call{Kernel: "RoPE"})
}

// SwiGLU is that of the Backend below.
func (t *Timed) SwiGLU(y, gate, up Matrix) {
	began := time.Now()
	t.Backend.SwiGLU(y, gate, up)
	t.done(began, Call{Kernel: "SwiGLU"})
}

// SwiGLUBackward is that of the Backend below.
func (t *Timed) SwiGLUBackward(dgate, dup, dy, gate, up Matrix) {
	began := time.Now()
	t.Backend.SwiGLUBackward(dgate, dup, dy, gate, up)
	t.done(began, Call{Kernel: "SwiGLUBackward"})
}

// Dropout is that of the Backend below.
func (t *Timed) Dropout(y, x Matrix, d Dropout, add bool) {
	began := time.Now()
	t.Backend.Dropout(y, x, d, add)
	t.done(began, Call{Kernel: "Dropout"})
}

// CrossEntropy is that of the Backend below.
func (t *Timed) CrossEntropy(s SoftmaxRows, logits Matrix, targets []int32) {
	began := time.Now()
	t.Backend.CrossEntropy(s, logits, targets)
	t.done(began, Call{Kernel: "CrossEntropy"})
}

// CrossEntropyBackward is that of the Backend below.
func (t *Timed) CrossEntropyBackward(logits Matrix, targets []int32, factors []float64, gradScale float64) {
	began := time.Now()
	t.Backend.CrossEntropyBackward(logits, targets, factors, gradScale)
	t.done(began, Call{Kernel: "CrossEntropyBackward"})
}

// Attention is that of the Backend below.
func (t *Timed) Attention(y Matrix, lse Buf, q, k, v Matrix, a *AttentionShape) {
	began := time.Now()
	t.Backend.Attention(y, lse, q, k, v, a)
	t.done(began, Call{Kernel: "Attention", Flops: a.Flops()})
}

// AttentionBackward is that of the Backend below.
func (t *Timed) AttentionBackward(dq, dk, dv, dy, y Matrix, lse Buf, q, k, v Matrix, a *AttentionShape) {
	began := time.Now()
	t.Backend.AttentionBackward(dq, dk, dv, dy, y, lse, q, k, v, a)
	t.done(began, Call{Kernel: "AttentionBackward", Flops: a.BackwardFlops()})
}

// SumSquares is that of the Backend below.
func (t *Timed) SumSquares(x Buf) float64 {
	began := time.Now()
	sum := t.Backend.SumSquares(x)
	t.done(began, Call{Kernel: "SumSquares"})
	return sum
}

// AdamW is that of the Backend below.
func (t *Timed) AdamW(param, grad, m, v Buf, step AdamW) {
	began := time.Now()
	t.Backend.AdamW(param, grad, m, v, step)
	t.done(began, Call{Kernel: "AdamW"})
}
