package serving

import (
	"bdlora/kernels"
	"bdlora/model"
)

// NewDecoder is a decoder of m with a random adapter, drawn from seed, in the shards
// that s says: those of this process, if m has joined a group, and else all of them.
func NewDecoder(be kernels.Backend, m *model.Model, s Setup, c model.DecoderConfig, seed uint64) *model.Decoder {
	plan := s.plan()
	if plan == nil {
		return model.NewDecoder(be, m, nil, c)
	}
	t, here := &model.Trainable{Plan: plan}, s.Shards/m.Group().Procs()
	for i := range here {
		values := s.draw(plan, m.Group().Proc()*here+i, seed)
		params := be.Alloc(len(values))
		be.Upload(params, values)
		t.Params = append(t.Params, params)
	}
	return model.NewDecoder(be, m, t, c)
}
