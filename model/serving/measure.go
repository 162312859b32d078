package serving

import (
	"context"
	"fmt"
	"slices"
	"time"

	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/model"
)

// MeasureConfig is what [Measure] measures.
type MeasureConfig struct {
	Setups    []Setup // of one model and one number of shards, those of group
	Batches   []int   // sequences that are decoded together
	Prompts   []int   // tokens of a prompt
	NewTokens int     // of each sequence
	Runs      int     // timed, behind one that is not
	Seed      uint64
	// Energy is what the machine has used up to now, in joules; nil if nobody knows.
	Energy func() float64
	// Progress is told what is done; it may be nil.
	Progress func(done, all int)
}

// Result is what a step of a Setup took: medians of all runs, and in decoding of all
// tokens, then means of the processes.
type Result struct {
	Setup   Setup
	Step    Step
	Seconds float64    // of the whole step
	Turns   []float64  // seconds of this process, turn by turn: the setups' go together
	Times   Times      // its parts, each by its own median; waiting for others counts as collectives
	Alone   Times      // of the same collectives without computing in between
	Joules  float64    // of the machine, a step
	Base    comm.Entry // a step, as the ledger has counted them
	Own     comm.Entry // the adapter's
}

// Measure runs all setups in turn on a random model, of which be computes this process's
// part, with prompts of one sequence and with tokens of several. It also times each
// collective of theirs alone. All processes of group call it alike and get the same
// results: a prompt and the tokens behind it, then the next; of each step all setups.
//
// It is an error if what has crossed is not what [Setup.Calls] says.
func Measure(ctx context.Context, be kernels.Backend, group comm.Comm, c MeasureConfig) ([]Result, []Timed[Call], error) {
	m, err := model.NewRandomPart(c.Setups[0].Config, c.Seed, group)
	if err != nil {
		return nil, nil, err
	}
	session := newSession(ctx, group, c)
	longest, most := slices.Max(c.Prompts), slices.Max(c.Batches)
	for _, s := range c.Setups {
		session.decoders = append(session.decoders, NewDecoder(be, m, s, model.DecoderConfig{
			Sequences: most, Tokens: longest + c.NewTokens, PassTokens: longest,
		}, c.Seed))
	}
	if err := session.run(); err != nil {
		return nil, nil, err
	}
	calls, err := session.timeCalls()
	if err != nil {
		return nil, nil, err
	}
	results, err := session.results(calls)
	return results, calls, err
}

// newSession has room for the times of every step, in the order of the results.
func newSession(ctx context.Context, group comm.Comm, c MeasureConfig) *session {
	s := &session{ctx: ctx, group: group, config: c}
	for _, prompt := range c.Prompts {
		for _, step := range s.steps(prompt) {
			for setup := range c.Setups {
				s.samples = append(s.samples, &samples{setup: setup, step: step})
			}
		}
	}
	return s
}

// session is a measurement under way.
type session struct {
	ctx      context.Context
	group    comm.Comm
	config   MeasureConfig
	decoders []*model.Decoder // of the setups
	samples  []*samples       // by setup and step
	count    int              // turns that are over
}

// samples are the times of a step of a setup.
type samples struct {
	setup                     int
	step                      Step
	total, compute, base, own []float64
	baseCalls, ownCalls       comm.Entry // of all steps
	joules                    float64
}

// run does everything once to warm up and then as often as is asked for.
func (s *session) run() error {
	rounds := (1 + s.config.Runs) * len(s.config.Prompts)
	for round := range rounds {
		run, prompt := round/len(s.config.Prompts), s.config.Prompts[round%len(s.config.Prompts)]
		if err := s.round(run, prompt); err != nil {
			return err
		}
		if s.config.Progress != nil {
			s.config.Progress(round+1, rounds)
		}
	}
	return nil
}

// round reads a prompt and decodes tokens in all batches. The setups take turns at every
// step, so that what else the machine does meets all of them.
func (s *session) round(run, prompt int) error {
	vocab, steps := s.config.Setups[0].Config.Vocab, s.steps(prompt)
	err := s.turns(run, steps[0], func(d *model.Decoder) error {
		_, err := d.Begin(s.ctx, someTokens(prompt, 0, vocab))
		return err
	})
	for _, step := range steps[1:] {
		for _, d := range s.decoders {
			if err == nil {
				err = d.Fork(step.Sequences, prompt)
			}
		}
		for token := 0; token < s.config.NewTokens && err == nil; token++ {
			err = s.turns(run, step, func(d *model.Decoder) error {
				_, err := d.Step(someTokens(step.Sequences, token, vocab))
				return err
			})
		}
	}
	return err
}

// turns runs a step of all setups; nobody is always the first.
func (s *session) turns(run int, step Step, do func(*model.Decoder) error) error {
	for turn := range s.decoders {
		setup := (turn + s.count) % len(s.decoders)
		err := s.time(setup, step, run > 0, func() error { return do(s.decoders[setup]) })
		if err != nil {
			return err
		}
	}
	s.count++
	return nil
}

func someTokens(n, seed, vocab int) []int32 {
	tokens := make([]int32, n)
	for i := range tokens {
		tokens[i] = int32((7*i + 13*seed) % vocab)
	}
	return tokens
}

// time runs a step, which all processes begin together, and keeps what it took if timed.
func (s *session) time(setup int, step Step, timed bool, run func() error) error {
	if err := s.group.Barrier(); err != nil {
		return err
	}
	ledger := s.group.Ledger()
	base, own, joules := ledger.Total(comm.Base), ledger.Total(comm.Adapter), s.joules()
	began := time.Now()
	if err := run(); err != nil || !timed {
		return err
	}
	seconds := time.Since(began).Seconds()
	base, own = minus(ledger.Total(comm.Base), base), minus(ledger.Total(comm.Adapter), own)
	at := s.at(setup, step)
	baseSeconds, ownSeconds := base.Elapsed.Seconds(), own.Elapsed.Seconds()
	at.total, at.compute = append(at.total, seconds), append(at.compute, seconds-baseSeconds-ownSeconds)
	at.base, at.own = append(at.base, baseSeconds), append(at.own, ownSeconds)
	at.baseCalls, at.ownCalls = plus(at.baseCalls, base), plus(at.ownCalls, own)
	at.joules += s.joules() - joules
	return nil
}

// joules is what the machine has used; 0 if nobody knows.
func (s *session) joules() float64 {
	if s.config.Energy == nil {
		return 0
	}
	return s.config.Energy()
}

// at is where the times of a step go.
func (s *session) at(setup int, step Step) *samples {
	return s.samples[slices.IndexFunc(s.samples, func(at *samples) bool { return at.setup == setup && at.step == step })]
}

// steps are those of a round.
func (s *session) steps(prompt int) []Step {
	steps := []Step{{Sequences: 1, Tokens: prompt}}
	for _, batch := range s.config.Batches { // all of its tokens count as the middle one
		steps = append(steps, Step{Sequences: batch, Tokens: 1, Past: prompt + s.config.NewTokens/2})
	}
	return steps
}

// results sums up.
func (s *session) results(calls []Timed[Call]) ([]Result, error) {
	var results []Result
	var numbers []float64
	for _, at := range s.samples {
		numbers = append(numbers, middle(at.total), middle(at.compute), middle(at.base), middle(at.own))
	}
	if err := s.group.AllReduce(comm.Control, comm.Sum, numbers); err != nil {
		return nil, err
	}
	for i, at := range s.samples {
		mean := func(j int) float64 { return numbers[4*i+j] / float64(s.group.Procs()) }
		count := len(at.total)
		r := Result{
			Setup: s.config.Setups[at.setup], Step: at.step, Seconds: mean(0), Turns: at.total, Joules: at.joules / float64(count),
			Times: Times{Compute: mean(1), Base: mean(2), Adapter: mean(3)},
			Base:  divided(at.baseCalls, count), Own: divided(at.ownCalls, count),
		}
		if err := r.check(); err != nil {
			return nil, err
		}
		r.Alone = r.Setup.alone(r.Step, calls)
		results = append(results, r)
	}
	return results, nil
}

// check compares what has crossed with the formulas.
func (r Result) check() error {
	want := map[comm.Purpose]comm.Entry{}
	for _, call := range r.Setup.Calls(r.Step) {
		e := want[call.Why]
		want[call.Why] = comm.Entry{Calls: e.Calls + call.Count, Payload: e.Payload + int64(call.Count)*call.Payload}
	}
	for why, got := range map[comm.Purpose]comm.Entry{comm.Base: r.Base, comm.Adapter: r.Own} {
		if w := want[why]; got.Calls != w.Calls || got.Payload != w.Payload {
			return fmt.Errorf("serving: %s, %+v: %d calls of %d bytes for purpose %d, want %d of %d",
				r.Setup.Way, r.Step, got.Calls, got.Payload, why, w.Calls, w.Payload)
		}
	}
	return nil
}

func minus(a, b comm.Entry) comm.Entry {
	return comm.Entry{Calls: a.Calls - b.Calls, Payload: a.Payload - b.Payload, Elapsed: a.Elapsed - b.Elapsed}
}

func plus(a, b comm.Entry) comm.Entry {
	return comm.Entry{Calls: a.Calls + b.Calls, Payload: a.Payload + b.Payload, Elapsed: a.Elapsed + b.Elapsed}
}

func divided(a comm.Entry, n int) comm.Entry {
	return comm.Entry{Calls: a.Calls / n, Payload: a.Payload / int64(n), Elapsed: a.Elapsed / time.Duration(n)}
}

// middle is the median, of an even number the lower one.
func middle(values []float64) float64 {
	return slices.Sorted(slices.Values(values))[(len(values)-1)/2]
}
