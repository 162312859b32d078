package data_test

import (
	"errors"
	"fmt"
	"reflect"
	"runtime"
	"strings"
	"testing"

	"bdlora/data"
)

// many are rows of different lengths.
func many(n int) []string {
	lines := make([]string, n)
	for i := range lines {
		lines[i] = fmt.Sprintf(`{"question":"number %d%s","answer":"%d"}`, i, strings.Repeat("!", i%7), i)
	}
	return lines
}

func TestLoadIsTheSameOnAnyNumberOfProcessors(t *testing.T) {
	file := write(t, many(300)...)
	load := func(processors int) *data.Dataset {
		defer runtime.GOMAXPROCS(runtime.GOMAXPROCS(processors))
		d, err := data.Load([]string{file}, encoder(t, data.DefaultConfig(), toy{addsBOS: true}, chatML))
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	one, five := load(1), load(5)
	if !reflect.DeepEqual(one, five) || data.Hash(one.Examples) != data.Hash(five.Examples) {
		t.Error("got another dataset on five processors than on one")
	}
	for i := range one.Examples {
		if e := &one.Examples[i]; e.File != file || e.Line != i+1 {
			t.Fatalf("example %d: got %s:%d, want line %d", i, e.File, e.Line, i+1)
		}
	}
}

func TestLoadReportsAllBadRowsInOrder(t *testing.T) {
	long := `{"question":"` + strings.Repeat("q", 99) + `","answer":"a"}`
	first := write(t, `{"question":"q","answer":"a"}`, `{"question":1,"answer":"a"}`, long, `{`)
	second := write(t, `{"prompt":"p","completion":"c"}`, `[]`)
	cfg := data.Config{Format: data.FormatAuto, MaxLength: 50, ExcessLength: data.ExcessRaise}
	_, err := data.Load([]string{first, second}, encoder(t, cfg, toy{}, ""))
	var bad data.RowErrors
	if !errors.As(err, &bad) {
		t.Fatalf("got %v, want row errors", err)
	}
	want := []string{
		first + `:2:13: field "question": got number, want string`,
		first + `:3: row too long: 102 tokens, want at most 50 (max_length)`,
		first + `:4:1: unexpected end of JSON input`,
		second + `:2:1: got array, want object`,
	}
	if err.Error() != strings.Join(want, "\n") {
		t.Errorf("got\n%v\nwant\n%s", err, strings.Join(want, "\n"))
	}
	if !errors.Is(err, data.ErrRowTooLong) || errors.Is(err, data.ErrEmptyField) {
		t.Errorf("got ErrRowTooLong %v, ErrEmptyField %v; want true, false",
			errors.Is(err, data.ErrRowTooLong), errors.Is(err, data.ErrEmptyField))
	}
}

func TestLoadCounts(t *testing.T) {
	file := write(t, many(10)...)
	cfg := data.Config{Format: data.FormatAuto, MaxLength: 14, ExcessLength: data.ExcessDrop}
	d, err := data.Load([]string{file}, encoder(t, cfg, toy{}, ""))
	// number + space + digit + marks + newline + digit + eos, for 0 to 6 marks
	if want := (data.Counts{Rows: 10, Dropped: 3}); err != nil || d.Counts != want || len(d.Examples) != 7 {
		t.Errorf("got %+v and %d examples (%v), want %+v and 7", d.Counts, len(d.Examples), err, want)
	}
}

func TestLoadRefuses(t *testing.T) {
	e := encoder(t, data.Config{Format: data.FormatAuto, MaxLength: 2, ExcessLength: data.ExcessDrop}, toy{}, "")
	for _, tt := range []struct{ name, file, want string }{
		{"no rows", write(t, "", ""), "no example left of 0 rows, 0 of them longer than max_length: want at least 1"},
		{"all dropped", write(t, many(3)...), "no example left of 3 rows, 3 of them longer than max_length: want at least 1"},
		{"no file", "missing.jsonl", "missing.jsonl"},
		{"a folder", t.TempDir(), "after line 0"},
	} {
		if _, err := data.Load([]string{tt.file}, e); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
}

func TestHashTellsWhatIsTrained(t *testing.T) {
	one := func() *data.Dataset { return &data.Dataset{Examples: numbered(3, 4)} }
	hash := data.Hash(one().Examples)
	for name, change := range map[string]func(*data.Dataset){
		"a token":        func(d *data.Dataset) { d.Examples[1].Tokens[2]++ },
		"a mask":         func(d *data.Dataset) { d.Examples[0].Trained[1] = false },
		"order":          func(d *data.Dataset) { d.Examples[0], d.Examples[1] = d.Examples[1], d.Examples[0] },
		"a border":       func(d *data.Dataset) { d.Examples = numbered(4, 3) },
		"one row less":   func(d *data.Dataset) { d.Examples = d.Examples[:1] },
		"an empty row":   func(d *data.Dataset) { d.Examples = append(d.Examples, data.Example{}) },
		"rows as in two": func(d *data.Dataset) { d.Examples = numbered(7) },
	} {
		d := one()
		change(d)
		if data.Hash(d.Examples) == hash {
			t.Errorf("%s: got the same hash", name)
		}
	}
	moved := one()
	moved.Examples[0].File, moved.Examples[0].Line = "elsewhere", 9
	if data.Hash(moved.Examples) != hash {
		t.Error("got another hash where only the place differs")
	}
}

func TestConfigReportsAllMistakes(t *testing.T) {
	cfg := data.Config{Format: "sharegpt", MaxLength: -1, ExcessLength: "cut", TrainOnPrompt: true, MaskHistory: true}
	got := fmt.Sprint(cfg.Validate())
	for _, want := range []string{
		`dataset_format is "sharegpt", want "auto" or one of ["messages" "alpaca" "prompt_completion" "question_answer"]`,
		"max_length is -1, want at least 2, or 0 for no limit",
		`excess_length_strategy is "cut", want one of ["drop" "truncate" "raise"]`,
		"train_on_prompt and mask_history are both set, want at most one",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("got %s\nwant %s in it", got, want)
		}
	}
	if err := data.DefaultConfig().Validate(); err != nil {
		t.Errorf("defaults: got %v", err)
	}
}
