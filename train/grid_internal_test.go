package train

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"bdlora/kernels/comm"
)

// A process that takes longer than a collective may is not lost, and what it meets in
// the end is its own.
func TestMeanwhileOutlastsTheTimeLimit(t *testing.T) {
	const limit, long = 1500 * time.Millisecond, 2500 * time.Millisecond
	met := errors.New("met")
	errs := make([]error, 2)
	var all sync.WaitGroup
	for proc, world := range comm.NewLocalTimeout(len(errs), limit) {
		all.Go(func() {
			g := &Grid{World: world}
			errs[proc] = g.meanwhile(t.Context(), func(context.Context) error {
				if proc == 0 {
					return nil
				}
				time.Sleep(long)
				return met
			})
			_, err := g.any(false)
			errs[proc] = errors.Join(errs[proc], err)
		})
	}
	all.Wait()
	if errs[0] != nil || !errors.Is(errs[1], met) || errors.Is(errs[1], comm.ErrPeerLost) {
		t.Errorf("errors are %v, want none and %v", errs, met)
	}
}
