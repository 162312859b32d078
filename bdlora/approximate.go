package bdlora

import (
	"errors"
	"fmt"
	"math"

	"gonum.org/v1/gonum/lapack/lapack64"
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
	b, a := p.b.float64s(), p.a.float64s()
	if norm := math.Hypot(mat.Norm(b, 2), mat.Norm(a, 2)); math.IsNaN(norm) || math.IsInf(norm, 0) {
		return nil, fmt.Errorf("the factors have norm %g, want all of their numbers finite", norm)
	}
	q, s := orthonormal(b)
	pt, t := orthonormal(mat.DenseCopyOf(a.T()))
	var core, left, right mat.Dense
	core.Mul(s, t.T())
	var svd mat.SVD
	if !svd.Factorize(&core, mat.SVDThin) {
		return nil, errors.New("the singular value decomposition did not converge")
	}
	svd.UTo(&left)
	svd.VTo(&right)
	values := svd.Values(nil)
	kept := min(dst.a.rows, len(values))
	roots := mat.NewDiagDense(len(values), nil)
	for k, value := range values[:kept] {
		roots.SetDiag(k, math.Sqrt(value))
	}
	var newB, newA mat.Dense
	newB.Product(q, &left, roots)
	newA.Product(roots, right.T(), pt.T())
	dst.b.part(0, 0, dst.b.rows, kept).setFloat64s(&newB)
	dst.a.part(0, 0, kept, dst.a.cols).setFloat64s(&newA)
	return values, nil
}

// orthonormal is m = q·s, the columns of q being orthonormal: the thin QR
// decomposition, or m itself beside a unit matrix if it is wider than high.
func orthonormal(m *mat.Dense) (q, s mat.Matrix) {
	rows, cols := m.Dims()
	if rows < cols {
		ones := mat.NewDiagDense(rows, nil)
		for i := range rows {
			ones.SetDiag(i, 1)
		}
		return ones, m
	}
	qr, tau := mat.DenseCopyOf(m), make([]float64, cols)
	work := make([]float64, 1)
	lapack64.Geqrf(qr.RawMatrix(), tau, work, -1) // asks for the size of work
	work = make([]float64, int(work[0]))
	lapack64.Geqrf(qr.RawMatrix(), tau, work, len(work))
	triangle := mat.NewTriDense(cols, mat.Upper, nil)
	triangle.Copy(qr.Slice(0, cols, 0, cols))
	lapack64.Orgqr(qr.RawMatrix(), tau, work, len(work))
	return qr, triangle
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
