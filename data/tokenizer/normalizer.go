package tokenizer

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// buildNormalizer tells whether text is brought to Unicode's form NFC.
func buildNormalizer(c *component) (nfc bool, err error) {
	for _, n := range flatten(c, func(c *component) []component { return c.Normalizers }) {
		if n.Type != "NFC" {
			return false, fmt.Errorf("type %q: %w, want NFC or none", n.Type, ErrUnsupported)
		}
		nfc = true
	}
	return nfc, nil
}

// normalized is a text after normalization, and where its parts come from.
type normalized struct {
	text    string
	changes []change // in order; between them text is as it was
}

// change is a part of the original text, of oldBytes, in the place of which the
// normalized one has newBytes from newStart on.
type change struct {
	oldStart, oldBytes int
	newStart, newBytes int
}

// normalize is the normalizer.
func (t *Tokenizer) normalize(text string) normalized {
	if !t.nfc || norm.NFC.IsNormalString(text) {
		return normalized{text: text}
	}
	var out strings.Builder
	var changes []change
	for start := 0; start < len(text); {
		end := start + segmentLen(text[start:])
		segment := text[start:end]
		composed := segment
		if !norm.NFC.IsNormalString(segment) {
			composed = compose(segment)
		}
		if composed != segment {
			changes = append(changes, change{start, end - start, out.Len(), len(composed)})
		}
		out.WriteString(composed)
		start = end
	}
	return normalized{out.String(), changes}
}

// original is the range of the original text that became [start, end): exact, but
// for parts that normalization changed, which count as a whole.
func (n *normalized) original(start, end int) (int, int) {
	if len(n.changes) == 0 {
		return start, end
	}
	from, to := n.origin(start)
	if end > start {
		_, to = n.origin(end - 1)
	}
	return from, to
}

// origin is the range of the original text that became the byte at.
func (n *normalized) origin(at int) (start, end int) {
	i, found := slices.BinarySearchFunc(n.changes, at, func(c change, at int) int { return c.newStart - at })
	if !found {
		i-- // the last change that begins before at
	}
	if i < 0 {
		return at, at + 1
	}
	c := n.changes[i]
	if at < c.newStart+c.newBytes {
		return c.oldStart, c.oldStart + c.oldBytes
	}
	start = at - (c.newStart + c.newBytes) + c.oldStart + c.oldBytes
	return start, start + 1
}

// segmentLen is the length of the first part of text that composes by itself: a
// character and all that follow which might combine with it.
func segmentLen(text string) int {
	first, end := utf8.DecodeRuneInString(text)
	if first == utf8.RuneError {
		return end // so that a byte which is not UTF-8 stays as it is
	}
	for end < len(text) {
		properties := norm.NFC.PropertiesString(text[end:])
		if properties.BoundaryBefore() {
			break
		}
		end += properties.Size()
	}
	return end
}

// compose is NFC of one segment. The package norm would break runs of more than 30
// marks by a joiner of its own, which Hugging Face's library does not.
//
// Source: the Unicode Standard, 3.11, definitions D108 to D117.
func compose(segment string) string {
	marks := []rune{}
	for _, r := range segment {
		if combining10.has(r) {
			marks = append(marks, r)
		} else {
			marks = append(marks, []rune(norm.NFD.String(string(r)))...)
		}
	}
	sortMarks(marks)
	out := marks[:1]
	lastClass := uint8(0) // of the last mark that stayed by itself
	starter := 0
	for _, r := range marks[1:] {
		class := combiningClass(r)
		adjacent := starter == len(out)-1
		if pair := composite(out[starter], r); pair != 0 && (adjacent || lastClass < class) {
			out[starter] = pair
			continue
		}
		if class == 0 {
			starter = len(out)
		}
		lastClass = class
		out = append(out, r)
	}
	return string(out)
}

// sortMarks brings each run of marks into the order of their combining classes.
func sortMarks(marks []rune) {
	for start := 0; start < len(marks); start++ {
		end := start
		for end < len(marks) && combiningClass(marks[end]) != 0 {
			end++
		}
		slices.SortStableFunc(marks[start:end], func(a, b rune) int {
			return int(combiningClass(a)) - int(combiningClass(b))
		})
		start = end
	}
}

func combiningClass(r rune) uint8 {
	if combining10.has(r) {
		return 0
	}
	return norm.NFC.PropertiesString(string(r)).CCC()
}

// composite is the one character that a and b make together, or 0.
func composite(a, b rune) rune {
	if combining10.has(b) {
		return 0
	}
	pair := norm.NFC.String(string([]rune{a, b}))
	if r, size := utf8.DecodeRuneInString(pair); size == len(pair) {
		return r
	}
	return 0
}
