package tokenizer_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"bdlora/data/tokenizer"
)

// layouts are the folders of testdata.
var layouts = []string{"smollm2", "llama3", "qwen"}

// goldenCase is what Hugging Face's library says about a text; see testdata/make.py.
type goldenCase struct {
	Text    string
	IDs     []int32
	Offsets [][2]int
	Text2   *string
}

func load(t testing.TB, layout string) *tokenizer.Tokenizer {
	t.Helper()
	tk, err := tokenizer.Load(filepath.Join("testdata", layout))
	if err != nil {
		t.Fatal(err)
	}
	return tk
}

// forAllGoldens runs check on every case of every layout.
func forAllGoldens(t *testing.T, check func(t *testing.T, tk *tokenizer.Tokenizer, c goldenCase)) {
	for _, layout := range layouts {
		t.Run(layout, func(t *testing.T) {
			tk := load(t, layout)
			cases := readCases(t, layout)
			if len(cases) < 200 {
				t.Fatalf("got %d cases, want some hundreds", len(cases))
			}
			for _, c := range cases {
				check(t, tk, c)
			}
		})
	}
}

func readCases(t testing.TB, layout string) (cases []goldenCase) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", layout, "cases.json"))
	if err == nil {
		err = json.Unmarshal(text, &cases)
	}
	if err != nil {
		t.Fatal(err)
	}
	return cases
}

func TestEncodeGivesTheIDsOfHuggingFace(t *testing.T) {
	forAllGoldens(t, func(t *testing.T, tk *tokenizer.Tokenizer, c goldenCase) {
		if got := tk.Encode(c.Text, true); !slices.Equal(got, c.IDs) {
			t.Errorf("%q:\n got %v\nwant %v", c.Text, got, c.IDs)
		}
	})
}

func TestDecodeGivesTheTextOfHuggingFace(t *testing.T) {
	forAllGoldens(t, func(t *testing.T, tk *tokenizer.Tokenizer, c goldenCase) {
		want := c.Text
		if c.Text2 != nil {
			want = *c.Text2
		}
		if got := tk.Decode(c.IDs, true); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// Python counts characters, so a token that is a part of one has all of it there.
func TestOffsetsAreThoseOfHuggingFace(t *testing.T) {
	compared := 0
	forAllGoldens(t, func(t *testing.T, tk *tokenizer.Tokenizer, c goldenCase) {
		if c.Offsets == nil {
			return
		}
		for i, p := range tk.EncodeOffsets(c.Text) {
			for !utf8.RuneStart(c.Text[p.Start]) {
				p.Start--
			}
			for p.End < len(c.Text) && !utf8.RuneStart(c.Text[p.End]) {
				p.End++
			}
			if got := [2]int{p.Start, p.End}; got != c.Offsets[i] {
				t.Errorf("%q: piece %d: got %v, want %v", c.Text, i, got, c.Offsets[i])
			}
			compared++
		}
	})
	if compared < 1000 {
		t.Errorf("compared %d pieces, want thousands", compared)
	}
}

// Without a normalizer and with a token for each byte, pieces tile the text.
func TestPiecesTileTheText(t *testing.T) {
	tk := load(t, "llama3")
	for _, c := range readCases(t, "llama3") {
		at := 0
		for _, p := range tk.EncodeOffsets(c.Text) {
			if p.Start != at || p.End <= p.Start {
				t.Errorf("%q: got piece [%d, %d), want it to begin at %d", c.Text, p.Start, p.End, at)
			}
			at = p.End
		}
		if at != len(c.Text) {
			t.Errorf("%q: got %d bytes in pieces, want %d", c.Text, at, len(c.Text))
		}
	}
}

func TestEncodeWithoutSpecialIsTheRest(t *testing.T) {
	tk := load(t, "llama3")
	bos, _ := tk.TokenID("<|begin_of_text|>")
	want := tk.Encode("hello<|eot_id|>", false)
	if got := tk.Encode("hello<|eot_id|>", true); !slices.Equal(got, append([]int32{bos}, want...)) {
		t.Errorf("got %v, want %d and %v", got, bos, want)
	}
	var ids []int32
	for _, p := range tk.EncodeOffsets("hello<|eot_id|>") {
		ids = append(ids, p.ID)
	}
	if !slices.Equal(ids, want) {
		t.Errorf("with offsets: got %v, want %v", ids, want)
	}
}

// e with an acute is three bytes in this text, but two, and one token, in NFC.
func TestNormalizedCharactersCountAsAWhole(t *testing.T) {
	const text = "xe\u0301, e\u0301\u0323y<|im_end|>e\u0301"
	var got []string
	for _, p := range load(t, "qwen").EncodeOffsets(text) {
		part := text[p.Start:p.End]
		if len(got) == 0 || got[len(got)-1] != part {
			got = append(got, part)
		}
	}
	want := []string{"x", "e\u0301", ",", " ", "e\u0301\u0323", "y", "<|im_end|>", "e\u0301"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestConcurrentUse(t *testing.T) {
	tk := load(t, "qwen")
	var group sync.WaitGroup
	for range 4 {
		group.Go(func() {
			for _, c := range readCases(t, "qwen") {
				if got := tk.Encode(c.Text, true); !slices.Equal(got, c.IDs) {
					t.Errorf("%q: got %v, want %v", c.Text, got, c.IDs)
				}
			}
		})
	}
	group.Wait()
}

func TestTokensHaveNamesAndNumbers(t *testing.T) {
	tk := load(t, "qwen")
	for id := range int32(tk.Len()) {
		name := tk.Token(id)
		if name == "\u00e9q" { // shown as the normalizer leaves it
			name = "e\u0301q"
		}
		if got, ok := tk.TokenID(name); !ok || got != id {
			t.Errorf("token %d, %q: got id %d, %t", id, name, got, ok)
		}
	}
	for _, id := range []int32{-1, int32(tk.Len())} {
		if got := tk.Token(id); got != "" || tk.Special(id) {
			t.Errorf("token %d: got %q, want none", id, got)
		}
	}
	if _, ok := tk.TokenID("no such token"); ok {
		t.Error("got an id for no token")
	}
	for name, want := range map[string]bool{"<|im_end|>": true, "<tool_call>": false, "a": false} {
		if id, _ := tk.TokenID(name); tk.Special(id) != want {
			t.Errorf("%s: special is %t, want %t", name, !want, want)
		}
	}
}

func TestDecodeKeepsOrSkipsSpecialTokens(t *testing.T) {
	tk := load(t, "qwen")
	ids := tk.Encode("a<|im_end|><tool_call>b", false)
	for skip, want := range map[bool]string{false: "a<|im_end|><tool_call>b", true: "a<tool_call>b"} {
		if got := tk.Decode(append(ids, -1, 1<<30), skip); got != want {
			t.Errorf("skip %t: got %q, want %q", skip, got, want)
		}
	}
}

// One token of spaces that takes the spaces on both sides along, words of 200 kB,
// and as many marks on one letter: nothing here may take quadratic time.
func TestLongRunsEndSoon(t *testing.T) {
	tk := load(t, "qwen")
	for _, unit := range []string{"a", " ", "\n", "1", "!", "人", "\u0301", "é", "<", "'", "\xff"} {
		text := strings.Repeat(unit, 200_000/len(unit))
		start := time.Now()
		pieces := tk.EncodeOffsets(text)
		if last := pieces[len(pieces)-1]; last.End != len(text) {
			t.Errorf("%q: got pieces up to byte %d, want %d", unit, last.End, len(text))
		}
		if took := time.Since(start); took > 10*time.Second { // 0.2 s is usual
			t.Errorf("%q: took %v for %d bytes, want less than 10 s", unit, took, len(text))
		}
	}
}
