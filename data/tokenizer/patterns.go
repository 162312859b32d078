package tokenizer

import (
	"strings"
	"unicode/utf8"
)

// The regular expressions that pre-tokenizers come with, and for each a function
// that does the same by hand: a tenth of the time, and linear in the text. Their
// alternatives never look at what is before the piece.

// gpt2Pattern is what ByteLevel with use_regex means; gpt2LongPattern is an older
// spelling of it.
const (
	gpt2Pattern     = `'(?:[sdmt]|ll|ve|re)| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	gpt2LongPattern = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
)

// gpt2Piece is the length of the first match of gpt2Pattern.
func gpt2Piece(text string) int {
	for _, suffix := range [...]string{"'s", "'t", "'re", "'ve", "'m", "'ll", "'d"} {
		if strings.HasPrefix(text, suffix) {
			return len(suffix)
		}
	}
	start := 0
	if text[0] == ' ' {
		start = 1
	}
	for _, c := range [...]class{letter, number, other} {
		if end := run(text, start, c); end > start {
			return end
		}
	}
	return spacePiece(text)
}

// llama3Pattern is that of Llama 3; qwen2Pattern, of Qwen 2 to 3, differs in taking
// digits one by one instead of by three.
const (
	llama3Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}|` +
		` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	qwen2Pattern = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}|` +
		` ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// llama3Piece is the length of the first match of llama3Pattern.
func llama3Piece(text string) int { return modernPiece(text, 3) }

// qwen2Piece is the length of the first match of qwen2Pattern.
func qwen2Piece(text string) int { return modernPiece(text, 1) }

// modernPiece is the length of the first match of llama3Pattern, or of its like
// with \p{N}{1,maxDigits}.
func modernPiece(text string, maxDigits int) int {
	if n := contraction(text); n > 0 {
		return n
	}
	first, size := utf8.DecodeRuneInString(text)
	switch classOf(first) {
	case letter:
		return run(text, size, letter)
	case number:
		return digitGroup(text, maxDigits)
	case space, other:
		if end := run(text, size, letter); end > size {
			return end
		}
	}
	start := 0
	if text[0] == ' ' {
		start = 1
	}
	if end := run(text, start, other); end > start {
		return run(text, end, newline)
	}
	spaces := text[:run(text, 0, space|newline)]
	if last := strings.LastIndexAny(spaces, "\r\n"); last >= 0 {
		return last + 1
	}
	return spacePiece(text)
}

// contraction is the length of (?i:'s|'t|'re|'ve|'m|'ll|'d) at the start of text,
// or 0. The long ſ is an s in another case.
func contraction(text string) int {
	if text[0] != '\'' {
		return 0
	}
	for _, suffix := range [...]string{"s", "t", "re", "ve", "m", "ll", "d", "ſ"} {
		if len(text) > len(suffix) && strings.EqualFold(text[1:1+len(suffix)], suffix) {
			return 1 + len(suffix)
		}
	}
	return 0
}

// digitGroup is the length of \p{N}{1,limit} at the start of text.
func digitGroup(text string, limit int) int {
	end := 0
	for range limit {
		r, size := utf8.DecodeRuneInString(text[end:])
		if size == 0 || classOf(r) != number {
			break
		}
		end += size
	}
	return end
}

// spacePiece is the length of \s+(?!\S)|\s+ at the start of text, which begins with
// a space: all of them but the last, which goes with the word behind it.
func spacePiece(text string) int {
	end := run(text, 0, space|newline)
	if end == len(text) {
		return end
	}
	_, last := utf8.DecodeLastRuneInString(text[:end])
	if end > last {
		return end - last
	}
	return end
}
