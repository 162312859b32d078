package tokenizer_test

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// FuzzTokenizer: in a vocabulary with a token for each byte and no normalizer,
// decoding what was encoded gives the text back, and so do its pieces. With NFC, all
// pieces lie within the text.
func FuzzTokenizer(f *testing.F) {
	for _, layout := range layouts {
		for i, c := range readCases(f, layout) {
			if i%10 == 0 {
				f.Add(c.Text)
			}
		}
	}
	llama, qwen := load(f, "llama3"), load(f, "qwen")
	f.Fuzz(func(t *testing.T, text string) {
		ids := llama.Encode(text, false)
		got := llama.Decode(ids, false)
		if utf8.ValidString(text) && got != text {
			t.Errorf("got %q, want %q", got, text)
		}
		if again := streamed(t, llama, ids, false); again != got {
			t.Errorf("as a stream: got %q, want %q", again, got)
		}
		var parts strings.Builder
		for _, p := range llama.EncodeOffsets(text) {
			parts.WriteString(text[p.Start:p.End])
		}
		if parts.String() != text {
			t.Errorf("pieces: got %q, want %q", parts.String(), text)
		}
		for _, p := range qwen.EncodeOffsets(text) {
			if p.Start < 0 || p.End < p.Start || p.End > len(text) {
				t.Errorf("%q: got piece [%d, %d), want one in [0, %d)", text, p.Start, p.End, len(text))
			}
		}
	})
}
