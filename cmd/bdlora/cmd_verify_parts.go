package main

import (
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/urfave/cli/v2"

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

// inThisProcess lets goroutines stand for the processes.
func (v *verification) inThisProcess(out io.Writer, be *cpu.Backend) error {
	whole, err := verify.Pass(be, v.model, v.adapter, v.batch, v.train)
	if err != nil {
		return err
	}
	parts, err := v.parts(whole, max(1, be.Threads()/v.procs))
	if err != nil {
		return err
	}
	if err := v.print(out, parts[0]); err != nil {
		return err
	}
	errs := []error{v.checkDifferences(parts[0])}
	for proc, p := range parts {
		errs = append(errs, checkLedger(proc, &p.ledger))
	}
	return errors.Join(errs...)
}

// parts lets all processes compute their parts at once.
func (v *verification) parts(whole *verify.Outcome, threads int) ([]part, error) {
	parts, errs := make([]part, v.procs), make([]error, v.procs)
	var all sync.WaitGroup
	for proc, group := range comm.NewLocal(v.procs) {
		all.Go(func() {
			if parts[proc], errs[proc] = v.part(group, whole, threads); errs[proc] != nil {
				group.Abort(errs[proc])
			}
		})
	}
	all.Wait()
	for proc, err := range errs {
		if err != nil && !errors.Is(err, comm.ErrPeerLost) {
			return nil, fmt.Errorf("process %d of %d: %w", proc, v.procs, err)
		}
	}
	return parts, errors.Join(errs...)
}

// amongProcesses is what each process of a launcher's does. One that cannot says why and
// ends, upon which the launcher ends the others.
func (v *verification) amongProcesses(c *cli.Context) error {
	w, err := openWorld(v.procs, comm.DefaultTimeout, "", c.App.ErrWriter)
	if err != nil {
		return err
	}
	threads := c.Int(threadsFlag.Name)
	if threads == 0 {
		threads = w.Processes[w.Proc()].Threads
	}
	whole, err := verify.Pass(cpu.New(threads), v.model, v.adapter, v.batch, v.train)
	if err != nil {
		return err
	}
	p, err := v.part(w, whole, threads)
	if err != nil {
		return err
	}
	if w.Proc() == 0 {
		err = v.print(c.App.Writer, p)
	}
	if err := errors.Join(err, checkLedger(w.Proc(), &p.ledger), w.Close()); err != nil {
		return err
	}
	if err := v.checkDifferences(p); err != nil {
		return w.Place.Shared(err)
	}
	return nil
}

// part is what the process at this end of the group does.
func (v *verification) part(group comm.Comm, whole *verify.Outcome, threads int) (p part, err error) {
	m, err := v.model.FirstLayers(v.model.Config.Layers)
	if err != nil {
		return p, err
	}
	if err := m.Join(group); err != nil {
		return p, err
	}
	adapter, err := v.load(group.Proc(), group.Procs())
	if err != nil {
		return p, err
	}
	outcome, err := verify.Pass(cpu.New(threads), m, adapter, v.batch, v.train)
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

// checkLedger fails if the adapter has exchanged anything of its own.
func checkLedger(proc int, ledger *comm.Ledger) error {
	if own := ledger.Total(comm.Adapter); own.Calls != 0 || own.Payload != 0 {
		return fmt.Errorf("process %d: got %d collectives of %d bytes for the adapter, want none",
			proc, own.Calls, own.Payload)
	}
	return nil
}

// checkDifferences fails if the parts are not the whole.
func (v *verification) checkDifferences(p part) error {
	if far, where := p.Largest(); !(far <= v.tolerance) {
		return fmt.Errorf("%s differs by %.2g of the largest number, want at most %g", where, far, v.tolerance)
	}
	return nil
}
