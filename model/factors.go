package model

import "bdlora/kernels"

// factor is an A or a B of one adapter and shard, or several joined.
type factor struct {
	linear int            // in its group; that of the first, if of several
	low    columns        // of h
	wide   columns        // of x for an A, of y for a B
	value  kernels.Matrix // A [low, wide] or B [wide, low]
	grad   kernels.Matrix // like value; without a buffer when there is no backward pass
}

// factors are the A of a group, or its B. Products go through joined, which is
// parts with neighbours of the same columns of x or y in one matrix:
//
//	             joined A                    joined B
//	column       all shards and linears      none
//	row          none                        all shards
//
// What BD-LoRA makes block-diagonal stays apart, the other factor costs what it
// costs LoRA. With dropout every linear has an x of its own.
type factors struct {
	parts, joined []factor
	sideBySide    bool // B: joined by columns; A is joined by rows
}

// joinTokens is the least tokens for which copying factors together pays.
const joinTokens = 8

func (f *factors) reset() { f.parts, f.joined = f.parts[:0], f.joined[:0] }

// join sets joined. shared says whether all linears have the same x or y.
func (f *factors) join(p *pass, shared bool) {
	for from, to := 0, 0; from < len(f.parts); from = to {
		first := f.parts[from]
		for to = from + 1; to < len(f.parts) && p.tokens >= joinTokens; to++ {
			if next := f.parts[to]; next.wide != first.wide || next.linear != first.linear && !shared {
				break
			}
		}
		f.joined = append(f.joined, f.gather(p, f.parts[from:to]))
	}
}

// gather copies several parts into one factor.
func (f *factors) gather(p *pass, parts []factor) factor {
	whole := parts[0]
	if len(parts) == 1 {
		return whole
	}
	whole.low.to = parts[len(parts)-1].low.to
	whole.value = f.place(p.scratch.factors, whole)
	if whole.grad.Buf != nil {
		whole.grad = f.place(p.scratch.dfactors, whole)
	}
	for _, part := range parts {
		p.be.Copy(f.part(whole.value, whole, part), part.value)
	}
	return whole
}

// scatter copies the gradients in joined factors to their parts'.
func (f *factors) scatter(be kernels.Backend) {
	parts := f.parts
	for _, whole := range f.joined {
		for len(parts) > 0 && parts[0].low.to <= whole.low.to {
			if parts[0].low != whole.low {
				be.Copy(parts[0].grad, f.part(whole.grad, whole, parts[0]))
			}
			parts = parts[1:]
		}
	}
}

// place is the part of scratch that belongs to a joined factor.
func (f *factors) place(scratch kernels.Buf, whole factor) kernels.Matrix {
	low, wide := whole.low.count(), whole.wide.count()
	at := scratch.Slice(whole.low.from*wide, whole.low.to*wide)
	if f.sideBySide {
		return kernels.NewMatrix(at, wide, low)
	}
	return kernels.NewMatrix(at, low, wide)
}

// part is where a part lies in m, the value or the gradient of a joined factor.
func (f *factors) part(m kernels.Matrix, whole, part factor) kernels.Matrix {
	from, to := part.low.from-whole.low.from, part.low.to-whole.low.from
	if f.sideBySide {
		return m.ColRange(from, to)
	}
	return m.RowRange(from, to)
}
