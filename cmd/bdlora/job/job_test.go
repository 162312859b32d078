package job_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"bdlora/cmd/bdlora/job"
	"bdlora/kernels/comm"
	"bdlora/train"
)

func TestGatheredTextsMayDifferInLength(t *testing.T) {
	const procs = 3
	var all sync.WaitGroup
	for proc, group := range comm.NewLocal(procs) {
		all.Go(func() {
			got, err := job.Gather(group, strings.Repeat("é", proc))
			if want := []string{"", "é", "éé"}; err != nil || !slices.Equal(got, want) {
				t.Errorf("process %d: got %q and error %v, want %q", proc, got, err, want)
			}
		})
	}
	all.Wait()
}

func TestAProcessAloneIsAWorld(t *testing.T) {
	w, err := job.PlaceFrom(func(string) string { return "" }).Join(1, job.Options{})
	if err != nil {
		t.Fatal(err)
	}
	if w.Procs() != 1 || len(w.Processes) != 1 || w.Processes[0].Threads < 1 || w.Processes[0].Host == "" {
		t.Errorf("got %+v, want one process on a host with a thread", w.Processes)
	}
}

func TestAWorldOfAnotherSizeIsRefused(t *testing.T) {
	if _, err := (job.Place{Procs: 1}).Join(2, job.Options{}); !errors.Is(err, job.ErrOtherSize) {
		t.Errorf("got %v, want that it is 1 process and not 2", err)
	}
}

// Law: what all processes have met is said by the first one, and what one of them alone
// has met by that one.
func TestOneProcessSaysWhatAllHaveMet(t *testing.T) {
	alone := errors.New("a disk is full")
	for proc := range 2 {
		w := &job.World{Comm: comm.Alone(), Place: job.Place{Proc: proc, Procs: 2}}
		shared := w.Leave(fmt.Errorf("run: %w", &train.SharedError{}))
		for _, row := range []struct {
			err  error
			said bool
		}{{w.Place.Shared(alone), proc > 0}, {shared, proc > 0}, {w.Leave(alone), false}} {
			synctest.Test(t, func(t *testing.T) {
				began := time.Now()
				if got := job.Said(row.err); got != row.said {
					t.Errorf("process %d: %v: another process says it: got %v, want %v", proc, row.err, got, row.said)
				}
				if waited := time.Since(began) > 0; waited != row.said {
					t.Errorf("process %d: %v: waited: got %v, want %v", proc, row.err, waited, row.said)
				}
			})
		}
	}
}
