package ref

import (
	"fmt"
	"math"

	"bdlora/kernels"
)

// Attention sets y[i] = Σ_j p_ij·v[j], p_ij = exp(Scale·q[i]·k[j] − lse[i]), j ≤ i.
func (*Backend[T]) Attention(y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix, a *kernels.AttentionShape) {
	checkAttention("Attention", y, lse, q, k, v, a)
	ys, lses, qs, ks, vs := viewOf[T](y), floatsOf[T](lse), viewOf[T](q), viewOf[T](k), viewOf[T](v)
	for _, u := range queriesOf(a) {
		query := qs.span(u.row, u.col, a.HeadDim)
		scores := make([]float64, u.keyEnd-u.key)
		for j := range scores {
			scores[j] = a.Scale * dot(query, ks.span(u.key+j, u.kvCol, a.HeadDim))
		}
		sum := logSumExp(scores)
		lses[u.lse] = T(sum)
		out := make([]float64, a.HeadDim)
		for j := range scores {
			addScaled(out, math.Exp(scores[j]-sum), vs.span(u.key+j, u.kvCol, a.HeadDim))
		}
		ys.setSpan(u.row, u.col, out)
	}
}

// AttentionBackward recomputes p_ij from lse and follows
//
//	ds_ij = p_ij·(dy[i]·v[j] − dy[i]·y[i])
//	dq[i] = Scale·Σ_j ds_ij·k[j]
//	dk[j] = Scale·Σ_i ds_ij·q[i]
//	dv[j] = Σ_i p_ij·dy[i]
func (*Backend[T]) AttentionBackward(dq, dk, dv, dy, y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix,
	a *kernels.AttentionShape) {
	const name = "AttentionBackward"
	checkAttention(name, y, lse, q, k, v, a)
	checkShape(name, "dq", dq, q.Rows, q.Cols)
	checkShape(name, "dk", dk, k.Rows, k.Cols)
	checkShape(name, "dv", dv, v.Rows, v.Cols)
	checkShape(name, "dy", dy, y.Rows, y.Cols)
	dqs, dys, ys, qs, ks, vs := viewOf[T](dq), viewOf[T](dy), viewOf[T](y), viewOf[T](q), viewOf[T](k), viewOf[T](v)
	dks, dvs := newSums(k), newSums(v)
	for _, u := range queriesOf(a) {
		query, d := qs.span(u.row, u.col, a.HeadDim), dys.span(u.row, u.col, a.HeadDim)
		dquery := make([]float64, a.HeadDim)
		dlse := dot(d, ys.span(u.row, u.col, a.HeadDim))
		for j := u.key; j < u.keyEnd; j++ {
			key := ks.span(j, u.kvCol, a.HeadDim)
			p := math.Exp(a.Scale*dot(query, key) - float64(floatsOf[T](lse)[u.lse]))
			ds := p * (dot(d, vs.span(j, u.kvCol, a.HeadDim)) - dlse)
			addScaled(dquery, a.Scale*ds, key)
			addScaled(dks.span(j, u.kvCol, a.HeadDim), a.Scale*ds, query)
			addScaled(dvs.span(j, u.kvCol, a.HeadDim), p, d)
		}
		dqs.setSpan(u.row, u.col, dquery)
	}
	store(viewOf[T](dk), dks)
	store(viewOf[T](dv), dvs)
}

// query is one row of q in one head, and what it attends to.
type query struct {
	row, col    int // where its HeadDim numbers begin in q and y
	lse         int // its element of lse
	key, keyEnd int // its rows of k and v
	kvCol       int // where its head begins in k and v
}

// queriesOf lists the queries of every sequence and head. The last query of a
// sequence sees all of its keys, the one before all but one, and so on.
func queriesOf(a *kernels.AttentionShape) []query {
	var list []query
	row, key := 0, 0
	for s, queries := range a.Queries {
		for i := range queries {
			for head := range a.Heads {
				list = append(list, query{
					row:    row + i,
					col:    head * a.HeadDim,
					lse:    (row+i)*a.Heads + head,
					key:    key,
					keyEnd: key + a.Keys[s] - queries + i + 1,
					kvCol:  head * a.KVHeads / a.Heads * a.HeadDim,
				})
			}
		}
		row, key = row+queries, key+a.Keys[s]
	}
	return list
}

// sums are float64 totals in the shape of a matrix.
type sums struct {
	totals []float64
	cols   int
}

func newSums(m kernels.Matrix) sums { return sums{make([]float64, m.Rows*m.Cols), m.Cols} }

func (s sums) span(i, j, n int) []float64 { return s.totals[i*s.cols+j:][:n] }

func store[T Float](v view[T], s sums) {
	for i := range len(s.totals) / max(s.cols, 1) {
		v.setSpan(i, 0, s.span(i, 0, s.cols))
	}
}

func checkAttention(kernel string, y kernels.Matrix, lse kernels.Buf, q, k, v kernels.Matrix,
	a *kernels.AttentionShape) {
	if a.KVHeads < 1 || a.Heads%a.KVHeads != 0 {
		panic(fmt.Sprintf("ref: %s: %d heads do not share %d key-value heads evenly", kernel, a.Heads, a.KVHeads))
	}
	checkLen(kernel, "a.Keys", len(a.Keys), len(a.Queries))
	queries, keys := 0, 0
	for s := range a.Queries {
		if a.Keys[s] < a.Queries[s] {
			panic(fmt.Sprintf("ref: %s: sequence %d has %d keys, want at least its %d queries",
				kernel, s, a.Keys[s], a.Queries[s]))
		}
		queries, keys = queries+a.Queries[s], keys+a.Keys[s]
	}
	checkShape(kernel, "q", q, queries, a.Heads*a.HeadDim)
	checkShape(kernel, "y", y, queries, a.Heads*a.HeadDim)
	checkShape(kernel, "k", k, keys, a.KVHeads*a.HeadDim)
	checkShape(kernel, "v", v, keys, a.KVHeads*a.HeadDim)
	checkLen(kernel, "lse", lse.Len(), queries*a.Heads)
}
