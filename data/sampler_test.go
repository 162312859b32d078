package data_test

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bdlora/data"
)

// numbered makes examples of the given lengths, all of whose tokens are different,
// and all but the first of each trained.
func numbered(lengths ...int) []data.Example {
	examples := make([]data.Example, len(lengths))
	token := int32(0)
	for i, length := range lengths {
		e := data.Example{File: "f", Line: i + 1}
		for j := range length {
			e.Tokens = append(e.Tokens, token)
			e.Trained = append(e.Trained, j > 0)
			token++
		}
		examples[i] = e
	}
	return examples
}

func sampler(t *testing.T, examples []data.Example, cfg data.SamplerConfig) *data.Sampler {
	t.Helper()
	s, err := data.NewSampler(examples, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestBatchPredictsTrainedTokensOfTheSameExampleOnly(t *testing.T) {
	got := data.NewBatch(
		data.Example{Tokens: []int32{10, 11, 12}, Trained: []bool{false, false, true}},
		data.Example{Tokens: []int32{20}, Trained: []bool{false}},
		data.Example{Tokens: []int32{30, 31, 32}, Trained: []bool{false, true, false}},
	)
	want := &data.Batch{
		Tokens:    []int32{10, 11, 12, 20, 30, 31, 32},
		Positions: []int32{0, 1, 2, 0, 0, 1, 2},
		Targets:   []int32{-1, 12, -1, -1, 31, -1, -1},
		Lengths:   []int{3, 1, 3},
	}
	if !reflect.DeepEqual(got, want) || got.Trained() != 2 {
		t.Errorf("got %+v with %d trained, want %+v with 2", got, got.Trained(), want)
	}
}

// The numbers are a regression test: resuming must find them again in any release.
func TestOrderIsFixed(t *testing.T) {
	for _, tt := range []struct {
		seed  uint64
		epoch int
		want  []int
	}{
		{42, 0, []int{6, 2, 5, 3, 4, 7, 0, 1, 9, 8}},
		{42, 1, []int{2, 3, 9, 6, 0, 8, 7, 4, 5, 1}},
		{43, 0, []int{8, 7, 5, 2, 4, 9, 6, 3, 0, 1}},
	} {
		if got := data.Order(tt.seed, tt.epoch, 10); !slices.Equal(got, tt.want) {
			t.Errorf("seed %d, epoch %d: got %v, want %v", tt.seed, tt.epoch, got, tt.want)
		}
	}
}

func TestOrderIsAUniformPermutation(t *testing.T) {
	const n, epochs = 6, 6000
	var counts [n][n]int
	for epoch := range epochs {
		for i, j := range data.Order(7, epoch, n) {
			counts[i][j]++
		}
	}
	for i := range n {
		for j, got := range counts[i] {
			// 1000 expected, with a standard deviation of 29.
			if got < 850 || got > 1150 {
				t.Errorf("%d came at place %d in %d of %d epochs, want about %d", j, i, got, epochs, epochs/n)
			}
		}
	}
}

func TestSplitIsByRow(t *testing.T) {
	examples := numbered(2, 2, 2, 2, 2, 2, 2, 2)
	for i := range examples {
		examples[i].Line = i/2 + 1 // four rows of two examples
	}
	for _, tt := range []struct {
		held float64
		want int // rows
	}{{0, 0}, {0.25, 1}, {0.26, 2}, {0.01, 1}, {1, 1}, {3, 3}} {
		train, heldOut, err := data.Split(examples, tt.held, 42)
		if err != nil || len(heldOut) != 2*tt.want || len(train) != 8-2*tt.want {
			t.Fatalf("%v: got %d and %d examples, %v; want %d held out", tt.held, len(train), len(heldOut), err, 2*tt.want)
		}
		all := slices.Concat(train, heldOut)
		slices.SortFunc(all, func(a, b data.Example) int { return int(a.Tokens[0] - b.Tokens[0]) })
		if !reflect.DeepEqual(all, examples) {
			t.Errorf("%v: got %v, want all examples once", tt.held, all)
		}
		for i := 0; i < len(heldOut); i += 2 {
			if heldOut[i].Line != heldOut[i+1].Line {
				t.Errorf("%v: row %d is on both sides", tt.held, heldOut[i].Line)
			}
		}
		again, _, _ := data.Split(examples, tt.held, 42)
		if !reflect.DeepEqual(train, again) {
			t.Errorf("%v: got another split of the same seed", tt.held)
		}
	}
}

func TestAFractionOfRoundNumbersIsRound(t *testing.T) {
	lengths := slices.Repeat([]int{1}, 100)
	for _, held := range []float64{0.01, 0.07, 0.1, 0.14, 0.28, 0.29, 0.55, 0.57} {
		_, heldOut, err := data.Split(numbered(lengths...), held, 42)
		if want := int(math.Round(100 * held)); err != nil || len(heldOut) != want {
			t.Errorf("%v of 100: got %d (%v), want %d", held, len(heldOut), err, want)
		}
	}
}

func TestSplitRefuses(t *testing.T) {
	for _, held := range []float64{-1, 1.5, 4, 100, 0.99, math.NaN(), math.Inf(1)} {
		if _, _, err := data.Split(numbered(1, 1, 1, 1), held, 0); err == nil || !strings.Contains(err.Error(), "val_size") {
			t.Errorf("%v: got %v, want an error that names val_size", held, err)
		}
	}
}

func TestPackFillsTheFullestBinThatHasRoom(t *testing.T) {
	got, err := data.Pack([]int{3, 6, 4, 1, 7, 3, 10}, 10)
	want := [][]int{{6}, {4, 0}, {1, 2}, {5, 3}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
	for _, tt := range []struct {
		lengths  []int
		capacity int
	}{{[]int{1}, 0}, {[]int{11}, 10}, {[]int{0}, 10}} {
		if _, err := data.Pack(tt.lengths, tt.capacity); err == nil {
			t.Errorf("%v in %d: got no error", tt.lengths, tt.capacity)
		}
	}
}

// No token is lost and none trained twice, and no sequence is torn, for any lengths.
func FuzzPack(f *testing.F) {
	f.Add([]byte{3, 6, 4, 1, 7, 3, 10}, 10, 2, 2, uint64(42))
	f.Add([]byte{1}, 1, 1, 1, uint64(0))
	f.Add([]byte{200, 64, 64, 63, 65, 1, 128, 127}, 256, 3, 1, uint64(7))
	f.Fuzz(func(t *testing.T, sizes []byte, capacity, batch, accumulation int, seed uint64) {
		lengths := make([]int, len(sizes))
		for i, size := range sizes {
			lengths[i] = int(size) + 1
		}
		cfg := data.SamplerConfig{
			Seed: seed, BatchSize: batch%8 + 1, AccumulationSteps: accumulation%8 + 1, Packing: true, MaxLength: capacity % 1024,
		}
		s, err := data.NewSampler(numbered(lengths...), cfg)
		if err != nil {
			return
		}
		checkEpoch(t, s, cfg, numbered(lengths...), 1)
	})
}

// checkEpoch checks that an epoch holds every example once, whole, and nothing else.
func checkEpoch(t *testing.T, s *data.Sampler, cfg data.SamplerConfig, examples []data.Example, epoch int) {
	t.Helper()
	whole := map[int32][]int32{} // by first token
	for _, e := range examples {
		whole[e.Tokens[0]] = e.Tokens
	}
	for step := epoch * s.StepsPerEpoch(); step < (epoch+1)*s.StepsPerEpoch(); step++ {
		batches := s.Step(step)
		if len(batches) == 0 || len(batches) > cfg.AccumulationSteps {
			t.Fatalf("step %d: got %d micro-batches, want 1 to %d", step, len(batches), cfg.AccumulationSteps)
		}
		for _, b := range batches {
			if len(b.Tokens) > s.MaxTokens() {
				t.Errorf("step %d: got %d tokens, want at most %d", step, len(b.Tokens), s.MaxTokens())
			}
			if cfg.Packing && len(b.Tokens) > cfg.BatchSize*cfg.MaxLength {
				t.Errorf("step %d: got %d tokens in %d rows of %d", step, len(b.Tokens), cfg.BatchSize, cfg.MaxLength)
			}
			takeOut(t, whole, b)
		}
	}
	if len(whole) > 0 {
		t.Errorf("epoch %d: %d of %d examples are missing", epoch, len(whole), len(examples))
	}
}

func takeOut(t *testing.T, whole map[int32][]int32, b *data.Batch) {
	t.Helper()
	at := 0
	for _, length := range b.Lengths {
		tokens := b.Tokens[at : at+length]
		if !slices.Equal(tokens, whole[tokens[0]]) {
			t.Fatalf("got sequence %v, want the example %v, once", tokens, whole[tokens[0]])
		}
		delete(whole, tokens[0])
		for i := range length {
			target := int32(-1)
			if i+1 < length {
				target = tokens[i+1]
			}
			if b.Targets[at+i] != target || b.Positions[at+i] != int32(i) {
				t.Fatalf("got target %d at position %d, want %d at %d", b.Targets[at+i], b.Positions[at+i], target, i)
			}
		}
		at += length
	}
	if at != len(b.Tokens) || len(b.Positions) != at || len(b.Targets) != at {
		t.Fatalf("got %d tokens, %d positions, %d targets, want %d", len(b.Tokens), len(b.Positions), len(b.Targets), at)
	}
}

func TestEachEpochHoldsEachExampleOnce(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	lengths := make([]int, 53)
	for i := range lengths {
		lengths[i] = 2 + random.IntN(30)
	}
	for _, packing := range []bool{false, true} {
		for _, shape := range [][2]int{{1, 1}, {8, 1}, {4, 2}, {1, 8}, {5, 3}, {100, 2}} {
			cfg := data.SamplerConfig{
				Seed: 42, BatchSize: shape[0], AccumulationSteps: shape[1], Packing: packing, MaxLength: 40,
			}
			t.Run(fmt.Sprintf("%dx%d packing=%v", shape[0], shape[1], packing), func(t *testing.T) {
				examples := numbered(lengths...)
				s := sampler(t, examples, cfg)
				for epoch := range 3 {
					checkEpoch(t, s, cfg, examples, epoch)
				}
			})
		}
	}
}

func TestAStepDependsOnItsNumberAlone(t *testing.T) {
	examples := numbered(3, 5, 2, 9, 4, 4, 6)
	cfg := data.SamplerConfig{Seed: 42, BatchSize: 2, AccumulationSteps: 2}
	one := sampler(t, examples, cfg)
	var want [][]*data.Batch
	for step := range 6 {
		want = append(want, one.Step(step))
	}
	for _, step := range []int{5, 0, 3, 3, 1} { // out of order, on a fresh sampler
		if got := sampler(t, examples, cfg).Step(step); !reflect.DeepEqual(got, want[step]) {
			t.Errorf("step %d differs when it comes first", step)
		}
	}
	if reflect.DeepEqual(want[0], want[2]) {
		t.Error("got the same first step in epochs 0 and 1, want another order")
	}
}

func TestMicroBatchesOfAnyShapeHoldTheSameRows(t *testing.T) {
	examples := numbered(3, 5, 2, 9, 4, 4, 6, 1, 2, 3, 8)
	firsts := func(batch, accumulation, step int) []int32 {
		cfg := data.SamplerConfig{Seed: 1, BatchSize: batch, AccumulationSteps: accumulation}
		var tokens []int32
		for _, b := range sampler(t, examples, cfg).Step(step) {
			tokens = append(tokens, b.Tokens...)
		}
		return tokens
	}
	for step := range 4 {
		want := firsts(8, 1, step)
		for _, shape := range [][2]int{{4, 2}, {2, 4}, {1, 8}} {
			if got := firsts(shape[0], shape[1], step); !slices.Equal(got, want) {
				t.Errorf("%v, step %d: got %v, want %v", shape, step, got, want)
			}
		}
	}
}

// Law: no micro-batch has more tokens than MostTokens says, and one has as many.
func TestLargestMicroBatchIsFound(t *testing.T) {
	for _, cfg := range []data.SamplerConfig{
		{BatchSize: 1, AccumulationSteps: 2}, {BatchSize: 3, AccumulationSteps: 2}, {BatchSize: 50, AccumulationSteps: 1},
		{BatchSize: 2, AccumulationSteps: 1, Packing: true, MaxLength: 25},
	} {
		s, most := sampler(t, numbered(3, 14, 9, 2, 6, 5, 3, 5, 8, 9, 7, 9), cfg), 0
		for step := range 3 * s.StepsPerEpoch() {
			for _, b := range s.Step(step) {
				most = max(most, len(b.Tokens))
			}
			if got := s.MostTokens(step + 1); got != most {
				t.Errorf("%+v: got %d tokens in %d steps, want %d", cfg, got, step+1, most)
			}
		}
		most = 0
		for b := range s.InOrder() {
			most = max(most, len(b.Tokens))
		}
		if got := s.MostTokensInOrder(); got != most {
			t.Errorf("%+v: got %d tokens in order, want %d", cfg, got, most)
		}
	}
}

func TestStepsAreCounted(t *testing.T) {
	s := sampler(t, numbered(1, 2, 3, 4, 5, 6, 7), data.SamplerConfig{BatchSize: 2, AccumulationSteps: 2})
	if s.StepsPerEpoch() != 2 || s.MaxTokens() != 13 {
		t.Errorf("got %d steps, %d tokens; want 2, 6+7", s.StepsPerEpoch(), s.MaxTokens())
	}
	for epochs, want := range map[float64]int{0.5: 1, 1: 2, 1.25: 3, 3: 6} {
		if got := s.Steps(epochs); got != want {
			t.Errorf("%v epochs: got %d steps, want %d", epochs, got, want)
		}
	}
	if last := s.Step(1); len(last) != 2 || len(last[1].Lengths) != 1 {
		t.Errorf("got %d micro-batches in the last step, want 2, the second of one row", len(last))
	}
	if s.Epoch(1) != 0 || s.Epoch(2) != 1 {
		t.Errorf("got epochs %d and %d of steps 1 and 2, want 0 and 1", s.Epoch(1), s.Epoch(2))
	}
}

func TestInOrderIsUnshuffled(t *testing.T) {
	examples := numbered(2, 3, 4)
	s := sampler(t, examples, data.SamplerConfig{Seed: 9, BatchSize: 2, AccumulationSteps: 7})
	got := slices.Collect(s.InOrder())
	want := []*data.Batch{data.NewBatch(examples[:2]...), data.NewBatch(examples[2])}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestSamplerRefuses(t *testing.T) {
	_, err := data.NewSampler(numbered(1), data.SamplerConfig{Packing: true})
	for _, key := range []string{"per_device_train_batch_size", "gradient_accumulation_steps", "max_length"} {
		if err == nil || !strings.Contains(err.Error(), key+" is 0, want at least 1") {
			t.Errorf("got %v, want an error that names %s", err, key)
		}
	}
	if _, err := data.NewSampler(nil, data.SamplerConfig{BatchSize: 1, AccumulationSteps: 1}); err == nil {
		t.Error("got no error for no examples")
	}
	cfg := data.SamplerConfig{BatchSize: 1, AccumulationSteps: 1, Packing: true, MaxLength: 4}
	_, err = data.NewSampler(numbered(4, 5), cfg)
	if !errors.Is(err, data.ErrRowTooLong) || err.Error() != "f:2: row too long: 5 tokens, want at most 4 (max_length)" {
		t.Errorf("got %v, want line 2 to be too long", err)
	}
}

func BenchmarkStep(b *testing.B) {
	for _, n := range []int{1_000, 50_000} {
		b.Run(fmt.Sprintf("examples=%d", n), func(b *testing.B) {
			lengths := make([]int, n)
			for i := range lengths {
				lengths[i] = 10
			}
			cfg := data.SamplerConfig{Seed: 1, BatchSize: 4, AccumulationSteps: 4}
			s, err := data.NewSampler(numbered(lengths...), cfg)
			if err != nil {
				b.Fatal(err)
			}
			step := 0
			for b.Loop() {
				s.Step(step)
				step++
			}
		})
	}
}
