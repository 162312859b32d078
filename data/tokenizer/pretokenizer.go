package tokenizer

import (
	"fmt"
	"unicode/utf8"
)

// splitter is the length of the first piece of a text that is not empty. It is the
// same whatever comes before, so that calling it on the rest gives all pieces.
type splitter func(text string) int

// buildPreTokenizer lists the splitters of c, the coarsest first. Each cuts up the
// pieces of the one before.
func buildPreTokenizer(c *component) ([]splitter, error) {
	list := flatten(c, func(c *component) []component { return c.PreTokenizers })
	if len(list) == 0 || list[len(list)-1].Type != "ByteLevel" {
		return nil, fmt.Errorf("%w: does not end in ByteLevel", ErrUnsupported)
	}
	var splitters []splitter
	for i, p := range list {
		if p.Type == "ByteLevel" && i < len(list)-1 {
			return nil, fmt.Errorf("ByteLevel before %s: %w, want it last", list[i+1].Type, ErrUnsupported)
		}
		s, err := buildSplitter(p)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", p.Type, err)
		}
		if s != nil {
			splitters = append(splitters, s)
		}
	}
	return splitters, nil
}

// buildSplitter is nil for what does not split.
func buildSplitter(p *component) (splitter, error) {
	switch p.Type {
	case "Split":
		return buildSplit(p)
	case "Digits":
		if p.IndividualDigits {
			return digitPiece, nil
		}
		return digitsPiece, nil
	case "ByteLevel":
		switch {
		case isTrue(p.AddPrefixSpace):
			return nil, fmt.Errorf("add_prefix_space true: %w", ErrUnsupported)
		case isTrue(p.UseRegex):
			return gpt2Piece, nil
		}
		return nil, nil
	}
	return nil, fmt.Errorf("%w, want Split, Digits or ByteLevel", ErrUnsupported)
}

func buildSplit(p *component) (splitter, error) {
	if p.Behavior != "Isolated" || p.Invert {
		return nil, fmt.Errorf("behavior %q with invert %t: %w, want Isolated with false",
			p.Behavior, p.Invert, ErrUnsupported)
	}
	switch p.Pattern["Regex"] {
	case llama3Pattern:
		return llama3Piece, nil
	case qwen2Pattern:
		return qwen2Piece, nil
	case gpt2Pattern, gpt2LongPattern:
		return gpt2Piece, nil
	}
	return nil, fmt.Errorf("pattern %q: %w, want that of GPT-2, Llama 3 or Qwen 2", p.Pattern, ErrUnsupported)
}

// words calls yield with the place of each word of text, the pieces of the last of
// splitters.
func words(splitters []splitter, text string, start int, yield func(start, end int)) {
	if len(splitters) == 0 {
		yield(start, start+len(text))
		return
	}
	for text != "" {
		n := splitters[0](text)
		words(splitters[1:], text[:n], start, yield)
		text, start = text[n:], start+n
	}
}

// digitPiece cuts out each digit.
func digitPiece(text string) int {
	end := 0
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if isDigit(r) {
			if end == 0 {
				return size
			}
			break
		}
		end += size
	}
	return end
}

// digitsPiece cuts out each run of digits.
func digitsPiece(text string) int {
	first, end := utf8.DecodeRuneInString(text)
	for end < len(text) {
		r, size := utf8.DecodeRuneInString(text[end:])
		if isDigit(r) != isDigit(first) {
			break
		}
		end += size
	}
	return end
}

// isDigit is \p{N} in the sense of the pre-tokenizer Digits.
func isDigit(r rune) bool {
	return classOf(r) == number || numbers17.has(r)
}
