package model

import (
	"fmt"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// Ordinary LoRA in the shards of S-LoRA (arXiv 2311.03285, as vLLM has it in
// fully_sharded_loras) needs an exchange between A and B, so that it can be compared
// with BD-LoRA, which needs none. It runs forward only. Of N processes, process i has
//
//	            column-parallel      row-parallel
//	A_i         [r/N, in]            [r, in/N]
//	h           all-gather, r/N      all-reduce, r
//	B_i         [out/N, r]           [out/N, r]
//
// In a row-parallel linear each adds its own columns of y to its part of the sum over
// all. Shapes alone tell: B_i reads more of h than A_i makes, or makes less of y than
// there is.

func gathers(m *bdlora.Module) bool { return m.B.Cols > m.A.Rows }

func sums(m *bdlora.Module) bool {
	return m.Linear.Parallel == bdlora.RowParallel && m.B.Rows < m.Linear.Out
}

// checkTrainable refuses adapters that would exchange anything of their own.
func checkTrainable(plan *bdlora.Plan) error {
	for i := range plan.Modules {
		if m := &plan.Modules[i]; gathers(m) || sums(m) {
			return fmt.Errorf("model: %s: a shard has A [%d, %d] and B [%d, %d], want a block of each to train",
				m.Path(), m.A.Rows, m.A.Cols, m.B.Rows, m.B.Cols)
		}
	}
	return nil
}

// exchange is what the processes have to put together of a group's h. Its zero value is
// nothing.
type exchange struct {
	sums     bool
	rank     int         // of h when it is gathered; 0 if it is not
	received kernels.Buf // [procs, tokens, rank/procs]
	gathered kernels.Buf // [tokens, rank], the columns of a linear side by side
}

// newExchange allocates for a group.
func (p *pass) newExchange(tape allocator, linears []linear) exchange {
	e := exchange{}
	for _, l := range linears {
		if l.adapter != nil {
			e.sums = e.sums || sums(l.adapter)
			if gathers(l.adapter) {
				e.rank += l.adapter.B.Cols
			}
		}
	}
	if e.rank > 0 {
		e.received, e.gathered = tape.Alloc(p.most*e.rank), tape.Alloc(p.most*e.rank)
	}
	return e
}

// exchange makes h whole where this process's A is but a part of all.
func (g *group) exchange(p *pass) error {
	h := p.matrix(g.h, g.rank)
	mine := h.Buf.Slice(0, h.Rows*h.Cols)
	if g.between.sums {
		return p.procs.AllReduce(comm.Adapter, comm.Sum, host(mine))
	}
	if g.between.rank == 0 {
		return nil
	}
	received := g.between.received.Slice(0, p.procs.Procs()*mine.Len())
	if err := p.procs.AllGather(comm.Adapter, host(received), host(mine)); err != nil {
		return err
	}
	gathered := p.matrix(g.between.gathered, g.between.rank)
	for proc := range p.procs.Procs() {
		part := p.matrix(received.Slice(proc*mine.Len(), (proc+1)*mine.Len()), g.rank)
		from, to := 0, 0 // columns of the linear in part, and of what it goes to
		for _, l := range g.linears {
			if l.adapter != nil {
				count := l.adapter.A.Rows
				p.be.Copy(gathered.ColRange(to+proc*count, to+(proc+1)*count), part.ColRange(from, from+count))
				from, to = from+count, to+l.adapter.B.Cols
			}
		}
	}
	return nil
}

// whole is h as B reads it.
func (g *group) whole(p *pass) kernels.Matrix {
	if g.between.rank > 0 {
		return p.matrix(g.between.gathered, g.between.rank)
	}
	return p.matrix(g.h, g.rank)
}
