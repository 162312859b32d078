package commtest

import "bdlora/kernels/comm"

// ledgers checks that each call is counted once, for its own purpose and kind, with the
// bytes of its whole result, and that groups share what they count.
func ledgers(l lab) {
	if l.Procs() == 1 {
		return // nothing is counted: see groupOfOne
	}
	before := *l.Ledger()
	procs := l.Procs()
	l.ok(l.AllReduce(comm.Base, comm.Sum, make([]float32, 10)))
	l.ok(l.AllReduce(comm.Base, comm.Max, make([]float64, 3)))
	l.ok(l.AllReduce(comm.Control, comm.Sum, make([]float64, 1)))
	l.ok(l.AllGather(comm.Adapter, make([]byte, 6*procs), make([]byte, 6)))
	l.ok(l.ReduceScatter(comm.Replicas, make([]float32, 7), make([]float32, 7*procs)))
	l.ok(l.Broadcast(comm.Control, make([]byte, 11), procs-1))
	l.ok(l.Broadcast(comm.Control, []byte{}, 0))
	l.ok(l.Barrier())
	same, err := l.Split(0, l.Proc())
	if l.ok(err); err != nil {
		return
	}
	l.ok(same.AllReduce(comm.Adapter, comm.Sum, make([]float32, 2)))
	want := map[comm.Purpose]map[comm.Collective]comm.Entry{
		comm.Base:     {comm.AllReduce: {Calls: 2, Payload: 40 + 24}},
		comm.Adapter:  {comm.AllGather: {Calls: 1, Payload: 6 * int64(procs)}, comm.AllReduce: {Calls: 1, Payload: 8}},
		comm.Replicas: {comm.ReduceScatter: {Calls: 1, Payload: 28 * int64(procs)}},
		comm.Control: {comm.AllReduce: {Calls: 1, Payload: 8}, comm.Broadcast: {Calls: 2, Payload: 11},
			comm.Barrier: {Calls: 1}},
	}
	for why := comm.Base; why <= comm.Control; why++ {
		for kind := comm.AllReduce; kind <= comm.Barrier; kind++ {
			l.entry(why, kind, before.Of(why, kind), want[why][kind])
		}
	}
}

// entry compares what was counted since before.
func (l lab) entry(why comm.Purpose, kind comm.Collective, before, want comm.Entry) {
	got := l.Ledger().Of(why, kind)
	calls, payload, elapsed := got.Calls-before.Calls, got.Payload-before.Payload, got.Elapsed-before.Elapsed
	if calls != want.Calls || payload != want.Payload {
		l.fail("%s of %s: counted %d calls of %d bytes, want %d of %d",
			kind, why, calls, payload, want.Calls, want.Payload)
	}
	if (elapsed > 0) != (calls > 0) {
		l.fail("%s of %s: %d calls took %v", kind, why, calls, elapsed)
	}
}

// wrongOperands checks that a call that cannot be made is an error before anything is
// sent, and is not counted.
func wrongOperands(l lab) {
	before := *l.Ledger()
	procs := l.Procs()
	for name, call := range map[string]func() error{
		"no buffer":         func() error { return l.AllReduce(comm.Base, comm.Sum, nil) },
		"integers":          func() error { return l.AllReduce(comm.Base, comm.Sum, []int{1}) },
		"a sum of bytes":    func() error { return l.AllReduce(comm.Base, comm.Sum, []byte{1}) },
		"an unknown op":     func() error { return l.AllReduce(comm.Base, comm.Max+1, []float32{1}) },
		"an unknown why":    func() error { return l.AllReduce(comm.Control+1, comm.Sum, []float32{1}) },
		"a root too high":   func() error { return l.Broadcast(comm.Base, []float32{1}, procs) },
		"a negative root":   func() error { return l.Broadcast(comm.Base, []float32{1}, -1) },
		"a short gathering": func() error { return l.AllGather(comm.Base, make([]byte, 2*procs-1), make([]byte, 2)) },
		"two types":         func() error { return l.AllGather(comm.Base, make([]float32, procs), make([]float64, 1)) },
		"a long source":     func() error { return l.ReduceScatter(comm.Base, make([]float32, 2), make([]float32, 2*procs+1)) },
		"scattered bytes":   func() error { return l.ReduceScatter(comm.Base, make([]byte, 2), make([]byte, 2*procs)) },
	} {
		if call() == nil {
			l.fail("%s: got no error", name)
		}
	}
	if *l.Ledger() != before {
		l.fail("calls that were not made are counted")
	}
}
