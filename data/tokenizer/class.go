package tokenizer

import (
	"unicode"
	"unicode/utf8"
)

// class is what the patterns of pre-tokenizers tell apart in a character. Classes
// join with |.
type class uint8

const (
	letter  class = 1 << iota // \p{L}
	number                    // \p{N}
	space                     // \s but for carriage return and line feed
	newline                   // carriage return and line feed
	other                     // the rest, and each byte that is not UTF-8
)

func classOf(r rune) class {
	switch {
	case 'a' <= r && r <= 'z', 'A' <= r && r <= 'Z':
		return letter
	case r == '\r', r == '\n':
		return newline
	case unicode.IsSpace(r):
		return space
	case unicode.IsLetter(r), letters16.has(r):
		return letter
	case unicode.IsNumber(r), numbers16.has(r):
		return number
	}
	return other
}

// run is the end of the characters of text, from start on, that are of classes.
func run(text string, start int, classes class) int {
	for start < len(text) {
		r, size := utf8.DecodeRuneInString(text[start:])
		if classOf(r)&classes == 0 {
			break
		}
		start += size
	}
	return start
}
