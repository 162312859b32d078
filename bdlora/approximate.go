package bdlora

import (
	"fmt"
	"math"

	"gonum.org/v1/gonum/mat"
)

// approximate writes into the shards of module m what comes nearest to ΔW in blocks
// of its rank: in each block the largest singular values and their vectors
// (Eckart and Young, https://doi.org/10.1007/BF02288367), √σ in either factor. It
// returns the relative error of ΔW in the Frobenius norm. Blocks share no element of
// ΔW, so that their errors add up in squares.
func (b blocks) approximate(m Module, shards [][]float32) (relative float64, err error) {
	n := len(shards)
	rank := b.pairs[0].a.rows * mostOverlaps(n, len(b.pairs))
	dropped, whole := 0.0, 0.0
	for i, shard := range shards {
		dst := m.pair(shard)
		exact := newPair(dst.b.rows, dst.a.cols, rank)
		b.recut(exact, i, n)
		values, err := exact.truncate(dst)
		if err != nil {
			return 0, fmt.Errorf("bdlora: %s: block %d: %w", m.Path(), i, err)
		}
		for k, value := range values {
			whole += value * value
			if k >= m.A.Rows {
				dropped += value * value
			}
		}
	}
	if whole == 0 {
		return 0, nil
	}
	return math.Sqrt(dropped / whole), nil
}

// newPair is factors of zeros: A [rank, in], B [out, rank].
func newPair(out, in, rank int) pair {
	return pair{
		a: matrix{make([]float32, rank*in), rank, in, in}, b: matrix{make([]float32, out*rank), out, rank, rank},
	}
}

// truncate writes into dst the factors whose product is the nearest to p's, and
// returns the singular values of p's, of which dst has the first.
//
// No [out, in] matrix is made: with orthonormal Q and P, B = Q·S and Aᵀ = P·T, so that
// the singular values of B·A = Q·(S·Tᵀ)·Pᵀ are those of the [rank, rank] core S·Tᵀ.
func (p pair) truncate(dst pair) ([]float64, error) {
	q, s, err := orthonormal(p.b.float64s())
	if err != nil {
		return nil, err
	}
	pt, t, err := orthonormal(p.a.float64s().T())
	if err != nil {
		return nil, err
	}
	var core, left, right mat.Dense
	core.Mul(s, t.T())
	svd, err := decompose(&core)
	if err != nil {
		return nil, err
	}
	svd.UTo(&left)
	svd.VTo(&right)
	values := svd.Values(nil)
	kept := min(dst.a.rows, len(values))
	scale := mat.NewDiagDense(len(values), nil)
	for k, value := range values[:kept] {
		scale.SetDiag(k, math.Sqrt(value))
	}
	var b, a mat.Dense
	b.Product(q, &left, scale)
	a.Product(scale, right.T(), pt.T())
	dst.b.part(0, 0, dst.b.rows, kept).setFloat64s(&b)
	dst.a.part(0, 0, kept, dst.a.cols).setFloat64s(&a)
	return values, nil
}

// orthonormal is m = q·s, the columns of q being orthonormal; s is as wide as m.
func orthonormal(m mat.Matrix) (q, s *mat.Dense, err error) {
	svd, err := decompose(m)
	if err != nil {
		return nil, nil, err
	}
	q, s = new(mat.Dense), new(mat.Dense)
	svd.UTo(q)
	s.Mul(q.T(), m)
	return q, s, nil
}

// decompose is the thin singular value decomposition of m.
func decompose(m mat.Matrix) (*mat.SVD, error) {
	if norm := mat.Norm(m, 2); math.IsNaN(norm) || math.IsInf(norm, 0) {
		return nil, fmt.Errorf("a factor has norm %g, want all of its numbers finite", norm)
	}
	svd := new(mat.SVD)
	if !svd.Factorize(m, mat.SVDThin) {
		return nil, fmt.Errorf("the singular value decomposition did not converge")
	}
	return svd, nil
}

// float64s is a copy of m.
func (m matrix) float64s() *mat.Dense {
	d := mat.NewDense(m.rows, m.cols, nil)
	for row := range m.rows {
		for col, v := range m.row(row) {
			d.Set(row, col, float64(v))
		}
	}
	return d
}

// setFloat64s rounds the first rows and columns of d into m.
func (m matrix) setFloat64s(d *mat.Dense) {
	for row := range m.rows {
		for col := range m.row(row) {
			m.row(row)[col] = float32(d.At(row, col))
		}
	}
}
