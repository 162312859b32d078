package comm_test

import (
	"testing"
	"time"

	"bdlora/kernels/comm"
)

func TestLedgerKeepsPurposesAndKindsApart(t *testing.T) {
	var l comm.Ledger
	l.Add(comm.Base, comm.AllReduce, 100, time.Second)
	l.Add(comm.Base, comm.AllReduce, 10, time.Minute)
	l.Add(comm.Base, comm.Broadcast, 1, time.Hour)
	l.Add(comm.Adapter, comm.AllReduce, 5, 0)
	if got, want := l.Of(comm.Base, comm.AllReduce), (comm.Entry{Calls: 2, Payload: 110, Elapsed: 61 * time.Second}); got != want {
		t.Errorf("all-reduce of base: got %v, want %v", got, want)
	}
	if got, want := l.Total(comm.Base), (comm.Entry{Calls: 3, Payload: 111, Elapsed: 3661 * time.Second}); got != want {
		t.Errorf("base: got %v, want %v", got, want)
	}
	if got := l.Total(comm.Control); got != (comm.Entry{}) {
		t.Errorf("control: got %v, want nothing", got)
	}
}

// A ring passes on procs-1 of procs equal parts to reduce and as many to gather.
func TestRingBytes(t *testing.T) {
	for _, c := range []struct {
		kind  comm.Collective
		procs int
		want  int64
	}{
		{comm.AllReduce, 1, 0}, {comm.AllReduce, 2, 1200}, {comm.AllReduce, 4, 2 * 3 * 300},
		{comm.AllGather, 1, 0}, {comm.AllGather, 2, 600}, {comm.AllGather, 4, 3 * 300},
		{comm.ReduceScatter, 3, 2 * 400}, {comm.Broadcast, 1, 0}, {comm.Broadcast, 4, 1200}, {comm.Barrier, 4, 0},
	} {
		if got := c.kind.RingBytes(1200, c.procs); got != c.want {
			t.Errorf("%s of 1200 bytes among %d: got %d, want %d", c.kind, c.procs, got, c.want)
		}
	}
}
