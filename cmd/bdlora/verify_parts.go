package main

import (
	"errors"
	"fmt"
	"sync"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/model/verify"
)

// part is what one process found.
type part struct {
	*verify.Differences             // of all processes
	ledger              comm.Ledger // of its own, without the verifying
}

// parts lets all processes compute their parts at once.
func (v *verification) parts(whole *verify.Outcome) ([]part, error) {
	parts, errs := make([]part, v.procs), make([]error, v.procs)
	var all sync.WaitGroup
	for proc, group := range comm.NewLocal(v.procs) {
		all.Go(func() {
			if parts[proc], errs[proc] = v.part(group, whole); errs[proc] != nil {
				group.Abort(errs[proc])
			}
		})
	}
	all.Wait()
	for proc, err := range errs {
		if lost := new(comm.PeerLost); err != nil && !errors.As(err, &lost) {
			return nil, fmt.Errorf("process %d of %d: %w", proc, v.procs, err)
		}
	}
	return parts, errors.Join(errs...)
}

// part is what the process at this end of the group does.
func (v *verification) part(group comm.Comm, whole *verify.Outcome) (p part, err error) {
	m, err := v.model.FirstLayers(v.model.Config.Layers)
	if err == nil {
		err = m.Join(group)
	}
	if err != nil {
		return p, err
	}
	adapter, err := v.load(group.Proc(), group.Procs())
	if err != nil {
		return p, err
	}
	outcome, err := verify.Pass(cpu.New(v.threads), m, adapter, v.batch, v.train)
	if err != nil {
		return p, err
	}
	p.ledger = *group.Ledger()
	if p.Differences, err = whole.Compare(outcome); err != nil {
		return p, err
	}
	return p, p.Agree(group)
}

// load is a process's shards.
func (v *verification) load(proc, procs int) (*bdlora.Adapter, error) {
	count := v.adapter.Plan.Shards() / procs
	from, to := proc*count, (proc+1)*count
	if v.dir != "" {
		return bdlora.LoadShardsPart(v.dir, v.adapter.Plan.Base, from, to)
	}
	return v.adapter.Part(from, to), nil
}

// checkParts fails if a difference or a collective says that the adapter is not one of
// BD-LoRA that is served as it was trained.
func checkParts(parts []part, tolerance float64) error {
	var errs []error
	for proc, p := range parts {
		if own := p.ledger.Total(comm.Adapter); own.Calls != 0 || own.Payload != 0 {
			errs = append(errs, fmt.Errorf("process %d: got %d collectives of %d bytes for the adapter, want none",
				proc, own.Calls, own.Payload))
		}
	}
	if far, where := parts[0].Largest(); !(far <= tolerance) {
		errs = append(errs, fmt.Errorf("%s differs by %.2g of the largest number, want at most %g", where, far, tolerance))
	}
	return errors.Join(errs...)
}
