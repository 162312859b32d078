package model

import (
	"errors"
	"fmt"

	"bdlora/bdlora"
	"bdlora/kernels"
	"bdlora/kernels/comm"
)

// Join makes m the part of a model that one process of a tensor-parallel group
// computes, split as Megatron-LM does (arXiv 1909.08053). Of N processes, process i has
//
//	q, k, v, gate, up   rows i·out/N and on: its heads and its part of the MLP
//	o, down             columns i·in/N and on
//	embedding, head     rows i·vocab/N and on
//
// as views of the weights, whose other parts are then not read, and the shards of the
// adapter that belong to them. What is made of m from now on (graphs, Inference,
// Generator) has to be made and called by all processes of group alike. Nothing may have
// been made of m before.
//
// A group whose size does not divide the heads, the key-value heads and the intermediate
// size is an error.
func (m *Model) Join(group comm.Comm) error {
	var errs []error
	divides := func(key string, n int) {
		if n%group.Procs() != 0 {
			errs = append(errs, fmt.Errorf("model: tensor_parallel_size: %d does not divide %s %d", group.Procs(), key, n))
		}
	}
	divides("num_attention_heads", m.Config.Heads)
	divides("num_key_value_heads", m.Config.KVHeads)
	divides("intermediate_size", m.Config.Intermediate)
	if err := errors.Join(errs...); err != nil {
		return err
	}
	m.group = group
	return nil
}

// Group is the tensor-parallel group that m was joined to; without one it is
// [comm.Alone].
func (m *Model) Group() comm.Comm {
	if m.group == nil {
		return comm.Alone()
	}
	return m.group
}

// part is the config of what one of so many processes computes of each layer.
func (c *Config) part(procs int) *Config {
	p := *c
	p.Heads, p.KVHeads, p.Intermediate = c.Heads/procs, c.KVHeads/procs, c.Intermediate/procs
	return &p
}

// linear is this process's part of a linear of a layer, and the first of the inputs
// that it reads.
func (m *Model) linear(layer int, l bdlora.Linear) (w *kernels.Weight, firstIn int) {
	w = m.layers[layer].linears[l.Name]
	proc, procs := m.Group().Proc(), m.Group().Procs()
	if procs == 1 {
		return w, 0
	}
	if l.Parallel == bdlora.ColumnParallel {
		from, to := share(proc, procs, l.Out)
		return m.rows(w, from, to), 0
	}
	from, to := share(proc, procs, l.In)
	if m.cut {
		return w, from
	}
	return w.ColRange(from, to), from
}

// rows are rows [from, to) of a weight of the whole model, which are this process's.
func (m *Model) rows(w *kernels.Weight, from, to int) *kernels.Weight {
	if m.cut {
		return w
	}
	return w.RowRange(from, to)
}

// vocabulary is this process's rows of the embedding or the head.
func (m *Model) vocabulary(w *kernels.Weight) vocabulary {
	if m.Group().Procs() == 1 {
		return vocabulary{Weight: w, all: w.Rows, most: w.Rows}
	}
	proc, procs, all := m.Group().Proc(), m.Group().Procs(), m.Config.Vocab
	from, to := share(proc, procs, all)
	return vocabulary{
		Weight: m.rows(w, from, to), first: int32(from), all: all, most: (all + procs - 1) / procs,
	}
}

// share is the part [from, to) of n things that a process has.
func share(proc, procs, n int) (from, to int) { return proc * n / procs, (proc + 1) * n / procs }

// vocabulary is the rows of an embedding or a head that a process has, [rows, hidden].
type vocabulary struct {
	*kernels.Weight
	first int32 // token of the first row
	all   int   // rows of all processes
	most  int   // rows of a process, at most: they may differ by one
}

// row is the row of a token, −1 if another process has it.
func (v vocabulary) row(token int32) int32 {
	if row := token - v.first; row >= 0 && int(row) < v.Rows {
		return row
	}
	return -1
}

// embed sets x to the embeddings of tokens. A process has those of its own tokens and
// zeros for the others, so that the sum is exact.
func (p *pass) embed(xBuf kernels.Buf, v vocabulary, tokens []int32) error {
	x := p.matrix(xBuf, p.config.Hidden)
	p.rows = p.rows[:0]
	for _, token := range tokens {
		p.rows = append(p.rows, v.row(token))
	}
	p.be.Embed(x, v.Weight, p.rows)
	return p.sum(x)
}

// gather sets dst [rows, vocab], on the host, to the logits of all processes' parts of
// the vocabulary.
func (p *pass) gather(dst []float32, logits kernels.Matrix, v vocabulary) error {
	numbers := logits.Buf.Slice(0, logits.Rows*logits.Cols)
	procs := p.procs.Procs()
	if procs == 1 {
		p.be.Download(dst, numbers)
		return nil
	}
	most := logits.Rows * v.most
	mine, all := make([]float32, most), make([]float32, procs*most)
	p.be.Download(mine[:numbers.Len()], numbers)
	if err := p.procs.AllGather(comm.Base, all, mine); err != nil {
		return err
	}
	for proc := range procs {
		from, to := share(proc, procs, v.all)
		for row := range logits.Rows {
			part := all[proc*most+row*(to-from):]
			copy(dst[row*v.all+from:row*v.all+to], part)
		}
	}
	return nil
}

// sum replaces m, a matrix of the whole of its buffer, by the sum of those of all
// processes.
func (p *pass) sum(m kernels.Matrix) error {
	if p.procs.Procs() == 1 {
		return nil
	}
	return p.reduce(comm.Sum, host(m.Buf.Slice(0, m.Rows*m.Cols)))
}

// reduce replaces buf by the sum, or what op says, of those of all processes.
func (p *pass) reduce(op comm.Op, buf any) error { return p.procs.AllReduce(comm.Base, op, buf) }

// host is a buffer of a Backend on the host as package comm takes it.
func host(b kernels.Buf) any {
	switch b := b.(type) {
	case kernels.F32:
		return []float32(b)
	case kernels.F64:
		return []float64(b)
	}
	return nil // a rehearsal's: nothing is exchanged
}

// checkShards refuses an adapter of other shards than belong to this process.
func (m *Model) checkShards(t *Trainable) error {
	if err := checkTrainable(t.Plan); err != nil {
		return err
	}
	shards, procs := t.Plan.Shards(), m.Group().Procs()
	if shards%procs != 0 {
		return fmt.Errorf("model: tensor_parallel_size: %d does not divide the adapter's %d shards", procs, shards)
	}
	each := shards / procs
	if from := m.Group().Proc() * each; len(t.Params) != each || t.First != from {
		return fmt.Errorf("model: got %d shards of the adapter from %d on, want the %d from %d on, of process %d of %d",
			len(t.Params), t.First, each, from, m.Group().Proc(), procs)
	}
	return nil
}
