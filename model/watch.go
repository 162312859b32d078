package model

import "bdlora/kernels"

// Watch is told what a half-layer makes as soon as it has made it: its path in the
// checkpoint, as "model.layers.0.mlp", and y [tokens, hidden], which the next
// half-layer may overwrite.
type Watch func(half string, y kernels.Matrix)

// watched is a half-layer that tells a Watch of each Forward.
type watched struct {
	kernels.Func
	pass  *pass
	watch Watch
}

func (w watched) Forward(y, x kernels.Buf, params []kernels.Buf) error {
	if err := w.Func.Forward(y, x, params); err != nil {
		return err
	}
	w.watch(w.Name(), w.pass.matrix(y, w.pass.config.Hidden))
	return nil
}

// watchAll lets watch see all half-layers of a pass, if there is one.
func (p *pass) watchAll(halves []half, watch Watch) {
	if watch == nil {
		return
	}
	for i := range halves {
		halves[i].Func = watched{halves[i].Func, p, watch}
	}
}

// Watch lets watch see every pass from now on.
func (inf *Inference) Watch(watch Watch) { inf.pass.watchAll(inf.halves, watch) }
