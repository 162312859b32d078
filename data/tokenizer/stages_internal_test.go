package tokenizer

import (
	"encoding/json"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/text/unicode/norm"
)

// A small vocabulary hides where words end, so the stages are also looked at alone.

func TestWordsAreThoseOfHuggingFace(t *testing.T) {
	for _, layout := range []string{"smollm2", "llama3", "qwen"} {
		tk, err := Load(filepath.Join("testdata", layout))
		if err != nil {
			t.Fatal(err)
		}
		var lists [][]string
		data, err := os.ReadFile(filepath.Join("testdata", layout, "words.json"))
		if err == nil {
			err = json.Unmarshal(data, &lists)
		}
		if err != nil || len(lists) == 0 {
			t.Fatalf("%s: got %d lists, %v", layout, len(lists), err)
		}
		for _, want := range lists {
			text := strings.Join(want, "")
			var got []string
			words(tk.splitters, text, 0, func(start, end int) { got = append(got, text[start:end]) })
			if !slices.Equal(got, want) {
				t.Errorf("%s: got %q, want %q", layout, got, want)
			}
		}
	}
}

// Where Unicode's versions agree and runs of marks are short, the package norm is a
// second opinion.
func TestComposeIsNFC(t *testing.T) {
	parts := strings.Split("a|e|q|é|\u0301|\u0305|\u0307|\u0323|\u0327|\u0334|\u0344|\u1100|\u1161|\u11a8|가|"+
		"\u0f71|\u0f72|\u09c7|\u09be|\u0958|\u212b|\ufb1d|x|日", "|")
	random := rand.New(rand.NewPCG(1, 2))
	tk := &Tokenizer{nfc: true}
	for range 20_000 {
		var text strings.Builder
		for range 1 + random.IntN(8) {
			text.WriteString(parts[random.IntN(len(parts))])
		}
		got, want := tk.normalize(text.String()), norm.NFC.String(text.String())
		if got.text != want {
			t.Fatalf("%+q: got %+q, want %+q", text.String(), got.text, want)
		}
	}
}

func TestNFCIsThatOfUnicode9WithoutJoiners(t *testing.T) {
	tk := &Tokenizer{nfc: true}
	for text, want := range map[string]string{
		"e" + strings.Repeat("\u0301", 50): "é" + strings.Repeat("\u0301", 49),
		"a\u0345\u1df6\u0334":              "a\u0345\u1df6\u0334",  // U+1DF6 is of 10.0
		"\U00011935\U00011930":             "\U00011935\U00011930", // U+11938 is of 13.0
		"\xffe\u0301\xff":                  "\xffé\xff",
	} {
		if got := tk.normalize(text); got.text != want {
			t.Errorf("%+q: got %+q, want %+q", text, got.text, want)
		}
	}
}

func TestAlphabetIsAOneToOneMap(t *testing.T) {
	for b, char := range alphabet() {
		if got, ok := byteOf(char); !ok || int(got) != b {
			t.Errorf("byte %#x is %q, which is byte %#x, %t", b, char, got, ok)
		}
	}
	for _, char := range []rune{0, ' ', 0x7f, 0xa0, 0xad, 0x144, '人'} {
		if got, ok := byteOf(char); ok {
			t.Errorf("%q: got byte %#x, want none", char, got)
		}
	}
}

func TestDigitsAloneAndInRuns(t *testing.T) {
	for _, test := range []struct {
		name  string
		piece splitter
		want  []string
	}{
		{"individual", digitPiece, []string{"a ", "1", "2", "½", "b", "3"}},
		{"runs", digitsPiece, []string{"a ", "12½", "b", "3"}},
	} {
		const text = "a 12½b3"
		var got []string
		words([]splitter{test.piece}, text, 0, func(start, end int) { got = append(got, text[start:end]) })
		if !slices.Equal(got, test.want) {
			t.Errorf("%s: got %q, want %q", test.name, got, test.want)
		}
	}
}
