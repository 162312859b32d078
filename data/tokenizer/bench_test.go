package tokenizer_test

import (
	"strings"
	"testing"
)

const benchText = "The quick brown fox jumps over the lazy dog; 1,024 times.\n\n" +
	"With love, über-alles:\n\tfunc main() {}\n"

func BenchmarkEncode(b *testing.B) {
	for _, layout := range layouts {
		b.Run("layout="+layout, func(b *testing.B) {
			tk := load(b, layout)
			text := strings.Repeat(benchText, 100)
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				tk.Encode(text, true)
			}
		})
	}
}
