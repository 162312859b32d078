package comm_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"bdlora/kernels/comm"
	"bdlora/kernels/comm/commtest"
)

func TestAlonePassesTheSuite(t *testing.T) { commtest.Suite(t, comm.Alone()) }

func TestLocalPassesTheSuite(t *testing.T) {
	for procs := 1; procs <= 4; procs++ {
		t.Run(fmt.Sprintf("procs=%d", procs), func(t *testing.T) { commtest.Suite(t, comm.NewLocal(procs)...) })
	}
}

// run is the error that each process of a group of so many gets from body.
func run(procs int, timeout time.Duration, body func(end comm.Comm) error) []error {
	errs := make([]error, procs)
	commtest.Each(comm.NewLocalTimeout(procs, timeout), func(end comm.Comm) { errs[end.Proc()] = body(end) })
	return errs
}

func TestLocalSumsInTheOrderOfTheProcesses(t *testing.T) {
	terms := []float32{1e8, 1, -1e8, 1} // (1e8 + 1) is 1e8 in float32
	for proc, err := range run(4, 0, func(end comm.Comm) error {
		buf := []float32{terms[end.Proc()]}
		if err := end.AllReduce(comm.Base, comm.Sum, buf); err != nil || buf[0] != 1 {
			return fmt.Errorf("got %v and error %v, want ((1e8+1)-1e8)+1 = 1", buf, err)
		}
		return nil
	}) {
		if err != nil {
			t.Errorf("process %d: %v", proc, err)
		}
	}
}

func TestCallsThatDifferAreAnErrorOnAll(t *testing.T) {
	floats := func(n int) []float32 { return make([]float32, n) }
	usual := func(c comm.Comm) error { return c.AllReduce(comm.Base, comm.Sum, floats(6)) }
	for name, odd := range map[string]func(c comm.Comm) error{
		"process 2 barrier":                               comm.Comm.Barrier,
		"process 2 all-reduce (max) of 6 float32":         func(c comm.Comm) error { return c.AllReduce(comm.Base, comm.Max, floats(6)) },
		"process 2 all-reduce (sum) of 5 float32":         func(c comm.Comm) error { return c.AllReduce(comm.Base, comm.Sum, floats(5)) },
		"process 2 all-reduce (sum) of 6 float64":         func(c comm.Comm) error { return c.AllReduce(comm.Base, comm.Sum, make([]float64, 6)) },
		"process 2 all-gather of 6 float32":               func(c comm.Comm) error { return c.AllGather(comm.Base, floats(6), floats(2)) },
		"process 2 broadcast of 6 float32 from process 1": func(c comm.Comm) error { return c.Broadcast(comm.Base, floats(6), 1) },
		"process 2 split":                                 func(c comm.Comm) error { _, err := c.Split(0, 0); return err },
	} {
		for proc, err := range run(3, 0, func(end comm.Comm) error {
			if end.Proc() == 2 {
				return odd(end)
			}
			return usual(end)
		}) {
			if want := "process 0 makes all-reduce (sum) of 6 float32, " + name; err == nil || !strings.HasSuffix(err.Error(), want) {
				t.Errorf("process %d: got %v, want %q", proc, err, want)
			}
		}
	}
	for proc, err := range run(2, 0, func(end comm.Comm) error { return end.Broadcast(comm.Base, floats(3), end.Proc()) }) {
		if err == nil || !strings.Contains(err.Error(), "from process 1") {
			t.Errorf("process %d, another root: got %v", proc, err)
		}
	}
}

// expectLost checks that an error names process 1 as the one that is missing.
func expectLost(t *testing.T, proc int, err error, words ...string) {
	t.Helper()
	var lost *comm.PeerLost
	if !errors.Is(err, comm.ErrPeerLost) || !errors.As(err, &lost) || len(lost.Missing) != 1 || lost.Missing[0].Proc != 1 {
		t.Errorf("process %d: got %v, want process 1 missing", proc, err)
		return
	}
	for _, want := range words {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("process %d: got %q, want %q in it", proc, err, want)
		}
	}
}

func TestAProcessThatDoesNotComeIsNamed(t *testing.T) {
	const limit = 30 * time.Millisecond
	for proc, err := range run(3, limit, func(end comm.Comm) error {
		if end.Proc() == 1 {
			time.Sleep(4 * limit)
		}
		return end.AllReduce(comm.Base, comm.Sum, make([]float32, 9))
	}) {
		if proc != 1 {
			expectLost(t, proc, err, "all-reduce (sum) of 9 float32", "waited")
		} else if !errors.Is(err, comm.ErrPeerLost) {
			t.Errorf("the late process: got %v, want to hear that the others have given it up", err)
		}
	}
}

func TestAbortEndsTheCallsOfTheOthers(t *testing.T) {
	for proc, err := range run(3, 0, func(end comm.Comm) error {
		if end.Proc() == 1 {
			time.Sleep(10 * time.Millisecond) // process 0 waits already
			end.Abort(errors.New("the disk is full"))
			return nil
		}
		part, err := end.Split(0, 0)
		if part != nil {
			return errors.New("want no group")
		}
		return err
	}) {
		if proc != 1 {
			expectLost(t, proc, err, "the disk is full", "split")
		}
	}
}

func TestACallAfterAnotherHasClosedFails(t *testing.T) {
	for proc, err := range run(3, 0, func(end comm.Comm) error {
		if end.Proc() == 1 {
			return end.Close()
		}
		return end.Barrier()
	}) {
		if proc != 1 {
			expectLost(t, proc, err, "barrier", "it has called Close")
		} else if err != nil {
			t.Errorf("Close: %v", err)
		}
	}
}

func BenchmarkLocalAllReduce(b *testing.B) {
	for _, length := range []int{1, 1 << 16} {
		b.Run(fmt.Sprintf("procs=2/float32=%d", length), func(b *testing.B) {
			commtest.Each(comm.NewLocal(2), func(end comm.Comm) {
				buf := make([]float32, length)
				for range b.N {
					if err := end.AllReduce(comm.Base, comm.Sum, buf); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
