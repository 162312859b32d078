package tokenizer

import "strings"

// The byte-level alphabet of GPT-2 writes every byte as a character that prints:
// itself where it does, or one from U+0100 on. A space is Ġ, a line feed Ċ.
//
// Source: bytes_to_unicode in https://github.com/openai/gpt-2, src/encoder.py.

// alphabet is the character of each byte.
func alphabet() (chars [256]rune) {
	next := rune(256)
	for b := range chars {
		switch {
		case b >= '!' && b <= '~', b >= '¡' && b <= '¬', b >= '®':
			chars[b] = rune(b)
		default:
			chars[b] = next
			next++
		}
	}
	return chars
}

// decodeByteLevel is the bytes that spelling stands for. If it has a character that
// is not of the alphabet, as added tokens may, it is not ok, and stands for itself.
func decodeByteLevel(spelling string) (text string, ok bool) {
	var out strings.Builder
	for _, char := range spelling {
		b, ok := byteOf(char)
		if !ok {
			return spelling, false
		}
		out.WriteByte(b)
	}
	return out.String(), true
}

// byteOf is the inverse of alphabet.
func byteOf(char rune) (byte, bool) {
	switch {
	case char >= '!' && char <= '~', char >= '¡' && char <= '¬', char >= '®' && char <= 'ÿ':
		return byte(char), true
	case char >= 256 && char < 256+33: // 0 … space
		return byte(char - 256), true
	case char >= 256+33 && char < 256+33+34: // delete … no-break space
		return byte(char - 256 - 33 + 127), true
	case char == 256+33+34: // soft hyphen
		return 0xad, true
	}
	return 0, false
}
