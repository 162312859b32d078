package model

import (
	"bdlora/bdlora"
	"bdlora/kernels"
)

// linear is a frozen weight and the block-diagonal adapter on it, if it has one.
type linear struct {
	weight  *kernels.Weight
	adapter *bdlora.Module // nil if none
	shards  int            // of the adapter that are here
	firstIn int            // of all inputs, the first that the weight reads
	base    int            // where the half-layer's params begin in a shard's buffer
	key     uint64         // tells this linear's dropout from the others'

	firstShard int // of the adapter's that are here, among all
}

// in is shard's A, and the columns of x that it reads.
func (l *linear) in(params kernels.Buf, shard int) (kernels.Matrix, columns) {
	a := l.adapter.A
	return l.view(params, a), shardColumns(shard, a.Cols, l.weight.Cols)
}

// out is shard's B, and the columns of y that it adds to.
func (l *linear) out(params kernels.Buf, shard int) (kernels.Matrix, columns) {
	b := l.adapter.B
	if sums(l.adapter) {
		shard = l.firstShard
	}
	return l.view(params, b), shardColumns(shard, b.Rows, l.weight.Rows)
}

// view is a factor in a shard's params of the half-layer.
func (l *linear) view(params kernels.Buf, f bdlora.Factor) kernels.Matrix {
	from := f.Offset - l.base
	return kernels.NewMatrix(params.Slice(from, from+f.Len()), f.Rows, f.Cols)
}

// columns are columns [from, to) of a matrix.
type columns struct{ from, to int }

func (c columns) count() int { return c.to - c.from }

func (c columns) of(m kernels.Matrix) kernels.Matrix { return m.ColRange(c.from, c.to) }

// shardColumns are all the columns, or the shard's if a shard has only some of them.
func shardColumns(shard, count, all int) columns {
	if count == all {
		return columns{0, all}
	}
	return columns{shard * count, (shard + 1) * count}
}
