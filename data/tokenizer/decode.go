package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// checkDecoder refuses every decoder but ByteLevel, which puts the bytes of all
// tokens one after another.
func checkDecoder(c *component) error {
	list := flatten(c, func(c *component) []component { return c.Decoders })
	if len(list) != 1 || list[0].Type != "ByteLevel" {
		types := []string{}
		for _, d := range list {
			types = append(types, d.Type)
		}
		return fmt.Errorf("%q: %w, want ByteLevel alone", types, ErrUnsupported)
	}
	return nil
}

// Decode returns the text of ids, without the special tokens if skipSpecial is set.
// Bytes that are not UTF-8 become U+FFFD, one for each broken character. An id that
// no token has adds nothing.
func (t *Tokenizer) Decode(ids []int32, skipSpecial bool) string {
	s := t.NewStream(skipSpecial)
	for _, id := range ids {
		s.add(id)
	}
	return s.Flush()
}

// Stream decodes tokens one by one. Make it with [Tokenizer.NewStream].
type Stream struct {
	tokenizer   *Tokenizer
	skipSpecial bool
	pending     []byte // not given out yet
}

// NewStream returns a decoder for a new text. What its methods return, all put
// together, is what [Tokenizer.Decode] returns for all tokens at once.
func (t *Tokenizer) NewStream(skipSpecial bool) *Stream {
	return &Stream{tokenizer: t, skipSpecial: skipSpecial}
}

// Push adds a token and returns the text that is now certain: whole characters,
// often none, as a character can be spread over several tokens.
func (s *Stream) Push(id int32) string {
	s.add(id)
	return s.take(false)
}

// Flush returns what is left, and U+FFFD for a last character that is not whole.
func (s *Stream) Flush() string { return s.take(true) }

func (s *Stream) add(id int32) {
	if id < 0 || int(id) >= s.tokenizer.Len() {
		return
	}
	if token := &s.tokenizer.vocab.tokens[id]; !token.special || !s.skipSpecial {
		s.pending = append(s.pending, token.bytes...)
	}
}

// take cuts the text off pending: up to a last character that could still become
// whole, or, when final, all of it.
func (s *Stream) take(final bool) string {
	text := make([]byte, 0, len(s.pending))
	rest := s.pending
	for len(rest) > 0 && (final || utf8.FullRune(rest)) {
		r, size := utf8.DecodeRune(rest)
		if r == utf8.RuneError && size == 1 {
			size = brokenLen(rest)
		}
		text = utf8.AppendRune(text, r)
		rest = rest[size:]
	}
	s.pending = append(s.pending[:0], rest...)
	return string(text)
}

// brokenLen is how many bytes at the start of b, which is no character, one U+FFFD
// stands for: the longest start of a character, or else one byte.
//
// Source: the Unicode Standard, 3.9, "U+FFFD Substitution of Maximal Subparts".
func brokenLen(b []byte) int {
	n := 1
	for n < len(b) && !utf8.FullRune(b[:n+1]) {
		n++
	}
	return n
}
