package cpu

import "sync/atomic"

// pool is a set of threads that share the units of one job after another.
type pool struct {
	workers []*worker // the first one is the caller's
	helpers []*helper // the goroutines of the others
	pause   func()    // of the processor, while spinning

	posted atomic.Uint64 // number of jobs so far
	job    job           // the last one
	done   chan struct{} // a turn for whoever posted the job, from who ends its last unit
	closed atomic.Bool
}

// kernel is a loop over units whose turns may run at once, each on some thread.
type kernel interface{ unit(w *worker, unit int) }

// unitFunc is a function as a kernel.
type unitFunc func(w *worker, unit int)

func (f unitFunc) unit(w *worker, unit int) { f(w, unit) }

// worker is what one thread keeps from unit to unit.
type worker struct {
	scratch arena
	tile    []float32 // see edgeTile
	block   block     // of attention
}

// edgeTile is room for a tile; its first use decides how much.
func (w *worker) edgeTile(n int) []float32 {
	if len(w.tile) < n {
		w.tile = make([]float32, n)
	}
	return w.tile[:n]
}

// helper is the parking place of one goroutine.
type helper struct {
	parked atomic.Bool
	wake   chan struct{}
}

// job is a kernel under way. Only who has taken a unit from left may look at the rest:
// it stays until that unit is finished.
type job struct {
	kernel   kernel
	units    int
	left     atomic.Int64 // below zero, by as much as looked for a unit in vain
	finished atomic.Int64
}

// spins is how often a thread looks for work before it parks: some 100 µs. Parking and
// waking take 20, which is as long as an adapter's product takes; kernels, and the last
// units of one, follow each other faster than 100.
const spins = 1000

func newPool(threads int, pause func()) *pool {
	p := &pool{pause: pause, done: make(chan struct{}, 1)}
	for i := range threads {
		p.workers = append(p.workers, &worker{})
		if i > 0 {
			h := &helper{wake: make(chan struct{}, 1)}
			p.helpers = append(p.helpers, h)
			go p.help(h, p.workers[i])
		}
	}
	return p
}

// close ends the goroutines.
func (p *pool) close() {
	p.closed.Store(true)
	p.posted.Add(1)
	p.wake()
}

// run runs every unit once and returns when all are done. Only one call may be under
// way at a time.
func (p *pool) run(units int, k kernel) {
	if units <= 1 || len(p.helpers) == 0 {
		p.inline(units, k)
		return
	}
	p.job.kernel, p.job.units = k, units
	p.job.finished.Store(0)
	p.job.left.Store(int64(units))
	p.posted.Add(1)
	p.wake()
	p.work(p.workers[0])
	for range spins {
		if p.job.finished.Load() == int64(units) {
			break
		}
		p.pause()
	}
	<-p.done
	p.job.kernel = nil
}

// each is run for a function.
func (p *pool) each(units int, run func(w *worker, unit int)) { p.run(units, unitFunc(run)) }

// inline runs every unit on the caller.
func (p *pool) inline(units int, k kernel) {
	for unit := range units {
		p.workers[0].scratch.reset()
		k.unit(p.workers[0], unit)
	}
}

func (p *pool) wake() {
	for _, h := range p.helpers {
		if h.parked.CompareAndSwap(true, false) {
			h.wake <- struct{}{}
		}
	}
}

// help is the life of one goroutine. A helper that comes late finds no units left.
func (p *pool) help(h *helper, w *worker) {
	for seen := uint64(0); ; {
		seen = p.await(h, seen)
		if p.closed.Load() {
			return
		}
		p.work(w)
	}
}

// await returns the number of posted jobs as soon as it is not seen any more.
func (p *pool) await(h *helper, seen uint64) uint64 {
	for range spins {
		if posted := p.posted.Load(); posted != seen {
			return posted
		}
		p.pause()
	}
	h.parked.Store(true)
	if p.posted.Load() == seen || !h.parked.CompareAndSwap(true, false) {
		<-h.wake
	}
	return p.posted.Load()
}

// work runs units as long as there are any, the first ones first.
func (p *pool) work(w *worker) {
	j := &p.job
	for {
		left := j.left.Add(-1) + 1
		if left <= 0 {
			return
		}
		w.scratch.reset()
		units := j.units
		j.kernel.unit(w, units-int(left))
		if j.finished.Add(1) == int64(units) {
			p.done <- struct{}{}
		}
	}
}

// arena hands out scratch memory, all of which is given back at once.
type arena struct {
	slab []float32
	used int
}

func (a *arena) reset() { a.used = 0 }

// floats returns n numbers of any value. It allocates only while the need grows.
func (a *arena) floats(n int) []float32 {
	if a.used+n > len(a.slab) {
		a.slab = make([]float32, a.used+n)
	}
	s := a.slab[a.used : a.used+n : a.used+n]
	a.used += n
	return s
}
