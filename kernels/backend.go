package kernels

import (
	G "gorgonia.org/gorgonia"
	"gorgonia.org/tensor"
)

// Backend is the set of products and element-wise kernels that half-layers,
// generation and the optimizer are made of, over buffers that it owns.
//
// Destinations come first, then sources, then sizes. A destination never overlaps
// a source unless the method says so. "y = …" overwrites, "y += …" adds. Callers
// have checked the shapes: a Backend panics on a wrong one, with a message that
// starts with its name. Only MatMul and addends take transposed views. The results are the
// same bits for any number of threads. A Backend is used by one goroutine at a time.
type Backend interface {
	// Name is what users call it: "ref", "cpu".
	Name() string
	// Dtype is the type that it computes in.
	Dtype() tensor.Dtype

	// Alloc returns n zeros.
	Alloc(n int) Buf
	// Upload copies host numbers into dst, converted to Dtype.
	Upload(dst Buf, src []float32)
	// Download copies src to the host, converted to float32.
	Download(dst []float32, src Buf)
	// Value is b as Gorgonia sees it, sharing memory.
	Value(b Buf, shape ...int) G.Value
	// BufOf is the inverse of Value.
	BufOf(v G.Value) Buf
	// Sizes returns a Backend that computes nothing and counts the memory that the
	// same calls would take here.
	CountMemory() MemoryCounter

	Products
	Elementwise
	Attention
	Optimizer
}

// Products are the matrix products.
type Products interface {
	// Linear: y = x·wᵀ, plus addends.
	//
	//	x [tokens, in]   w [out, in]   y [tokens, out]
	Linear(y, x Matrix, w *Weight, addends ...Addend)
	// LinearBackward: dx = dy·w, or dx += dy·w if add, plus addends.
	//
	//	dy [tokens, out]   w [out, in]   dx [tokens, in]
	LinearBackward(dx, dy Matrix, w *Weight, add bool, addends ...Addend)
	// MatMul: c = alpha·a·b, or c += alpha·a·b if add. Any of a and b may be
	// transposed views; c may not.
	//
	//	a [m, k]   b [k, n]   c [m, n]
	MatMul(c Matrix, alpha float64, a, b Matrix, add bool)
}

// Addend is a small product that a large one takes along, while its result is at
// hand: columns [Col, Col+B.Cols) of that result += Alpha·A·B. Addends of one call
// may overlap. Any of A and B may be transposed views.
//
//	A [tokens, k]   B [k, columns]
type Addend struct {
	Col   int
	Alpha float64
	A, B  Matrix
}

// Elementwise are the kernels that touch each number once or twice.
type Elementwise interface {
	// Copy: y = x, of one shape.
	Copy(y, x Matrix)
	// Add: y += x, of one shape.
	Add(y, x Matrix)
	// Clear: b = 0, whatever it held.
	Clear(b Buf)
	// Scale: b *= factor.
	Scale(b Buf, factor float64)
	// Embed: row i of y = row tokens[i] of w, or zeros where tokens[i] is negative: a
	// token whose row another process has.
	Embed(y Matrix, w *Weight, tokens []int32)
	// RMSNorm: y = gain ⊙ x·inv with inv[i] = 1/√(mean(x[i]²) + eps), which it saves
	// for the backward pass. Source: arXiv 1910.07467.
	//
	//	x, y [tokens, hidden]   gain [hidden]   inv [tokens]
	RMSNorm(y Matrix, inv Buf, x Matrix, gain Buf, eps float64)
	// RMSNormBackward: dx += inv·(gain⊙dy − x·inv²·mean(gain⊙dy⊙x)), row by row.
	RMSNormBackward(dx, dy, x Matrix, inv, gain Buf)
	// RoPE rotates each head of x in place by the angle of its row's position: the
	// pair (j, j+HeadDim/2) turns by positions[i]·r.Freq[j], both scaled by
	// r.Scale. inverse turns back, scaled alike: the backward pass.
	// Source: arXiv 2104.09864, in the half-split layout of Hugging Face.
	//
	//	x [tokens, heads·2·len(r.Freq)]
	RoPE(x Matrix, positions []int32, r *Rotary, inverse bool)
	// SwiGLU: y = silu(gate) ⊙ up, silu(g) = g/(1+e⁻ᵍ).
	SwiGLU(y, gate, up Matrix)
	// SwiGLUBackward: dgate and dup from dy. dgate may be gate and dup may be up.
	SwiGLUBackward(dgate, dup, dy, gate, up Matrix)
	// Dropout: y = x ⊙ mask/(1-p), or y += … if add; see [Dropout] for the mask.
	Dropout(y, x Matrix, d Dropout, add bool)
	// CrossEntropy sets s to what −log softmax(logits[i])[targets[i]] is made of, with
	// sums in float64, and then logits[i] = exp(logits[i] − s.Max[i]). A negative target
	// is not among the columns, which may be some of the row's.
	//
	//	s, targets [rows]   logits [rows, columns]
	CrossEntropy(s SoftmaxRows, logits Matrix, targets []int32)
	// CrossEntropyBackward: logits[i] = factors[i]·logits[i], less gradScale where the
	// target is. With what CrossEntropy left there, and
	//
	//	factors[i] = gradScale·exp(s.Max[i] − Max)/Sum
	//
	// of Max and Sum over all columns of the row, it is gradScale times the gradient of
	// the loss in the logits.
	CrossEntropyBackward(logits Matrix, targets []int32, factors []float64, gradScale float64)
}

// Attention is softmax attention over packed sequences.
type Attention interface {
	// Attention: for every sequence, head and query i
	//
	//	y[i] = Σ_j p_ij·v[j],  p_ij = exp(a.Scale·q[i]·k[j] − lse[i]),  j ≤ i
	//
	// in which the queries of a sequence are the last of its keys: with a key-value
	// cache there are more keys than queries. Query head h reads key-value head
	// h·KVHeads/Heads. No [tokens, tokens] matrix is made.
	//
	//	q, y [Σ a.Queries, Heads·HeadDim]   k, v [Σ a.Keys, KVHeads·HeadDim]
	//	lse  [Σ a.Queries · Heads]          log of the sum of exponentials, saved
	//
	// Source: arXiv 2307.08691 (FlashAttention-2).
	Attention(y Matrix, lse Buf, q, k, v Matrix, a *AttentionShape)
	// AttentionBackward: dq, dk, dv (overwritten) from dy and what the forward
	// pass took and made.
	AttentionBackward(dq, dk, dv, dy, y Matrix, lse Buf, q, k, v Matrix, a *AttentionShape)
}

// Optimizer are the kernels of an optimizer step, over one shard's buffers.
type Optimizer interface {
	// SumSquares is Σ x², in float64 and in a fixed order.
	SumSquares(x Buf) float64
	// AdamW updates param, m and v in place from grad; see [AdamW].
	AdamW(param, grad, m, v Buf, step AdamW)
}

// AttentionShape is the shape of one call of [Attention].
type AttentionShape struct {
	Heads, KVHeads, HeadDim int
	Scale                   float64 // of the scores: 1/√HeadDim
	Queries                 []int   // rows of q of each sequence, which lie one after another
	Keys                    []int   // rows of k of each sequence, Keys[i] >= Queries[i]
}

// Rotary are the angles of rotary position embedding.
type Rotary struct {
	Freq  []float64 // [HeadDim/2] radians a position
	Scale float64   // of the rotated pair; 1 unless the model's rope scaling says otherwise
}

// Dropout is a mask that depends on nothing but what is written here, so that
// shards, threads and a resumed run draw the same one. Element (row, col) is kept
// where [Dropout.Keep] says so.
type Dropout struct {
	P        float64 // probability of dropping, in [0, 1)
	Key      uint64  // of seed, step, micro-step, layer and linear
	FirstCol int     // the column of the whole input at which this view begins
}

// AdamW is one step of AdamW with decoupled weight decay (arXiv 1711.05101, as in
// PyTorch), t counted from 1:
//
//	g     = GradScale·grad
//	m     = Beta1·m + (1−Beta1)·g
//	v     = Beta2·v + (1−Beta2)·g²
//	param = param·(1−LR·WeightDecay) − LR·m/(1−Beta1ᵗ) / (√(v/(1−Beta2ᵗ)) + Eps)
type AdamW struct {
	LR, Beta1, Beta2, Eps, WeightDecay float64
	GradScale                          float64 // of clipping; 1 changes nothing
	T                                  int
}
