package serving

import (
	"time"

	"bdlora/kernels/comm"
)

// timeCalls times every collective of the steps without anything else: medians of as
// many runs, means of the processes.
func (s *session) timeCalls() ([]Timed[Call], error) {
	var calls []Timed[Call]
	for _, at := range s.samples {
		for _, call := range s.config.Setups[at.setup].Calls(at.step) {
			if call.Count = 0; !contains(calls, call) {
				calls = append(calls, Timed[Call]{Of: call})
			}
		}
	}
	times := make([][]float64, len(calls))
	for range s.config.Runs {
		for i, call := range calls {
			seconds, err := s.timeCall(call.Of)
			if err != nil {
				return nil, err
			}
			times[i] = append(times[i], seconds)
		}
	}
	numbers := make([]float64, len(calls))
	for i := range calls {
		numbers[i] = middle(times[i])
	}
	if err := s.group.AllReduce(comm.Control, comm.Sum, numbers); err != nil {
		return nil, err
	}
	for i := range calls {
		calls[i].Seconds = numbers[i] / float64(s.group.Procs())
	}
	return calls, nil
}

// contains says whether a collective of that kind and size is among calls.
func contains(calls []Timed[Call], call Call) bool {
	for _, c := range calls {
		if c.Of.Kind == call.Kind && c.Of.Payload == call.Payload {
			return true
		}
	}
	return false
}

// timeCall is the time of one of several collectives in a row, as many as take about as
// long as the clock needs to be exact.
func (s *session) timeCall(call Call) (float64, error) {
	const most, bytes = 50, 4 << 20
	repeats := max(2, min(most, bytes/int(call.Payload)))
	all := make([]float32, (call.Payload+3)/4)
	part := all[:len(all)/s.group.Procs()]
	all = all[:len(part)*s.group.Procs()]
	mine := append([]float32(nil), part...)
	if err := s.group.Barrier(); err != nil {
		return 0, err
	}
	began := time.Now()
	for range repeats {
		err := error(nil)
		if call.Kind == comm.AllGather {
			err = s.group.AllGather(comm.Control, all, mine)
		} else {
			err = s.group.AllReduce(comm.Control, comm.Sum, all)
		}
		if err != nil {
			return 0, err
		}
	}
	return time.Since(began).Seconds() / float64(repeats), nil
}

// alone is the time of a step's collectives by those that were timed.
func (s Setup) alone(step Step, calls []Timed[Call]) (t Times) {
	for _, call := range s.Calls(step) {
		for _, c := range calls {
			if c.Of.Kind != call.Kind || c.Of.Payload != call.Payload {
				continue
			}
			if seconds := float64(call.Count) * c.Seconds; call.Why == comm.Adapter {
				t.Adapter += seconds
			} else {
				t.Base += seconds
			}
		}
	}
	return t
}

// FitLink is the link between procs processes by the times of its collectives. If no
// all-gather or all-reduce is of two sizes, the other's line stands for both.
func FitLink(name string, procs int, calls []Timed[Call]) (Link, error) {
	lines, errs := map[comm.Collective]Line{}, map[comm.Collective]error{}
	for _, kind := range []comm.Collective{comm.AllReduce, comm.AllGather} {
		var samples []Timed[float64]
		for _, c := range calls {
			if c.Of.Kind == kind {
				samples = append(samples, Timed[float64]{c.Of.WireBytes(procs), c.Seconds})
			}
		}
		lines[kind], errs[kind] = FitLine(samples)
	}
	if errs[comm.AllReduce] != nil {
		return Link{}, errs[comm.AllReduce]
	}
	link := Link{Name: name, AllReduce: lines[comm.AllReduce], AllGather: lines[comm.AllGather]}
	if errs[comm.AllGather] != nil {
		link.AllGather = link.AllReduce
	}
	return link, nil
}
