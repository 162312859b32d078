package train

import (
	"fmt"
	"path/filepath"

	"bdlora/bdlora"
)

// leave writes the final adapter and the curve.
func (t *trainer) leave(d *Done) error {
	if err := t.compareReplicas(); err != nil {
		return err
	}
	best, err := t.finalAdapter()
	if err != nil {
		return err
	}
	d.BestLoaded = best
	d.Adapter = t.cfg.OutputDir
	d.Curve = filepath.Join(t.cfg.OutputDir, CurveName)
	if err := t.leaveShards(); err != nil || !t.grid.first() {
		return err
	}
	return WriteCurve(d.Curve, t.title(), t.state.LogHistory)
}

// leaveShards writes the shards, and PEFT's files before they take their place.
func (t *trainer) leaveShards() error {
	a := t.adapter
	path := bdlora.ShardsPath(t.cfg.OutputDir, a.Plan.Shards())
	return t.grid.fill(path, a.WriteShards, func(dir string) error {
		if err := bdlora.WriteShardsIndex(dir, a.Plan); err != nil {
			return err
		}
		whole, err := wholeAdapter(a, dir)
		if err != nil {
			return err
		}
		return whole.SavePEFT(t.cfg.OutputDir)
	})
}

// title is that of the loss curve.
func (t *trainer) title() string {
	return fmt.Sprintf("%s, %d blocks of LoRA", filepath.Base(t.model.Dir), t.adapter.Plan.Shards())
}
