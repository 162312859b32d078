package train

import "bdlora/kernels"

// saveIfDue writes a checkpoint when the settings ask for one after this step.
func (t *trainer) saveIfDue() error {
	if t.state.GlobalStep == t.saved || !t.due(t.cfg.SaveStrategy, t.cfg.SaveSteps) {
		return nil
	}
	return t.save()
}

// save writes a checkpoint of the current step, if there is none yet, and removes
// those that save_total_limit has no room for.
func (t *trainer) save() error {
	if t.saved == t.state.GlobalStep {
		return nil
	}
	if err := t.compareReplicas(); err != nil {
		return err
	}
	dir, err := SaveCheckpoint(t.grid, t.cfg.OutputDir, t.snapshot())
	if err != nil {
		return err
	}
	t.saved, t.lastSave = t.state.GlobalStep, dir
	best := 0
	if t.cfg.LoadBestModelAtEnd {
		best = t.state.BestStep
	}
	if t.grid.first() {
		_, err = Rotate(t.cfg.OutputDir, t.saved, best, t.cfg.SaveTotalLimit)
	}
	if err := t.grid.agree(err); err != nil {
		return err
	}
	t.observer.Saved(dir)
	return nil
}

// snapshot is the run as this process has it. Of replicas, only the first one's is
// written.
func (t *trainer) snapshot() *Snapshot {
	s := &Snapshot{Config: t.cfg, State: t.state, Adapter: t.adapter}
	if t.grid.Replica == 0 {
		t.download()
		s.First, s.Second = t.host(t.optimizer.First), t.host(t.optimizer.Second)
	}
	return s
}

// download copies the adapter to the host.
func (t *trainer) download() {
	for i, params := range t.trainable.Params {
		t.be.Download(t.adapter.Shards[i], params)
	}
}

// host copies buffers to the host.
func (t *trainer) host(bufs []kernels.Buf) [][]float32 {
	hosts := make([][]float32, len(bufs))
	for i, b := range bufs {
		hosts[i] = make([]float32, b.Len())
		t.be.Download(hosts[i], b)
	}
	return hosts
}

// finalAdapter fills t.adapter with what the run leaves: the last step's numbers, or
// those of the lowest evaluation loss if the settings ask for them.
func (t *trainer) finalAdapter() (best bool, err error) {
	t.download()
	if !t.cfg.LoadBestModelAtEnd || t.state.BestStep == 0 || t.state.BestStep == t.state.GlobalStep {
		return false, nil
	}
	s, err := t.loadBest(CheckpointPath(t.cfg.OutputDir, t.state.BestStep), t.adapter.Plan)
	if err := t.grid.agree(err); err != nil {
		return false, err
	}
	t.adapter = s.Adapter
	return true, nil
}
