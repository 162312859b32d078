package model

import (
	"fmt"

	"bdlora/bdlora"
	"bdlora/kernels"
)

// half is one half-layer with its part [from, to) of a shard's buffer.
type half struct {
	kernels.Func
	from, to int
}

// params are the half-layer's own views of the shards' buffers; none if it has no
// adapter.
func (h *half) params(shards []kernels.Buf) []kernels.Buf {
	if h.from == h.to {
		return nil
	}
	views := make([]kernels.Buf, len(shards))
	for i, shard := range shards {
		views[i] = shard.Slice(h.from, h.to)
	}
	return views
}

// newHalves returns the half-layers of m in order, with the adapters that plan says;
// plan may be nil.
func newHalves(p *pass, m *Model, plan *bdlora.Plan) []half {
	var halves []half
	for l := range m.Config.Layers {
		w, path := &m.layers[l], fmt.Sprintf("model.layers.%d", l)

		tape := p.room.tape(len(halves))
		lin, from, to := m.halfLinears(plan, l, "self_attn")
		halves = append(halves, half{&attentionHalf{
			pass: p, name: path + ".self_attn", norm: upload(p.be, w.inputNorm), recompute: p.room.recompute,
			tape: newAttentionTape(tape, p.config, p.most),
			qkv:  p.group(tape, lin("q_proj"), lin("k_proj"), lin("v_proj")), o: p.group(tape, lin("o_proj")),
		}, from, to})

		tape = p.room.tape(len(halves))
		lin, from, to = m.halfLinears(plan, l, "mlp")
		halves = append(halves, half{&mlpHalf{
			pass: p, name: path + ".mlp", norm: upload(p.be, w.postAttentionNorm), recompute: p.room.recompute,
			tape:   newMLPTape(tape, p.config, p.most),
			gateUp: p.group(tape, lin("gate_proj"), lin("up_proj")), down: p.group(tape, lin("down_proj")),
		}, from, to})
	}
	return halves
}

// group is one with memory for its h.
func (p *pass) group(tape allocator, linears ...linear) group {
	g := newGroup(linears...)
	g.h, g.between = tape.Alloc(p.most*g.rank), p.newExchange(tape, linears)
	return g
}

// halfLinears returns a function that makes the named linear of a half-layer, and
// the half-layer's part of a shard's buffer.
func (m *Model) halfLinears(plan *bdlora.Plan, layer int, name string) (lin func(string) linear, from, to int) {
	var modules []bdlora.Module
	shards := 0
	if plan != nil {
		modules, from, to = plan.Half(layer, name)
		shards = plan.Shards() / m.Group().Procs()
	}
	return func(proj string) linear {
		path := name + "." + proj
		l := linear{shards: shards, firstShard: shards * m.Group().Proc(), base: from, key: keyOf(fmt.Sprintf("%d.%s", layer, path))}
		l.weight, l.firstIn = m.linear(layer, m.Config.linear(path))
		for i := range modules {
			if modules[i].Linear.Name == path {
				l.adapter = &modules[i]
			}
		}
		return l
	}, from, to
}

func upload(be kernels.Backend, host []float32) kernels.Buf {
	b := be.Alloc(len(host))
	be.Upload(b, host)
	return b
}
