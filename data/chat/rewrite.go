package chat

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Names that a rewritten template uses for what the engine lacks.
const (
	jsonFilter      = "__tojson"
	generationBegin = "__generation"
	generationEnd   = "__endgeneration"
)

// rewrite turns a template into one that the engine renders as jinja2 renders the
// first. It applies jinja2's rules of white space itself and writes each text as
// {{- "…" -}}, because the engine keeps the final newline and trims across an
// expression; it prints a variable where {% generation %} begins and ends, which
// the engine drops; and it calls our tojson, since the engine's sorts keys when it
// indents. generation is whether the template has such a block.
func rewrite(source string) (plain string, generation bool, err error) {
	parts, err := split(source)
	if err != nil {
		return "", false, err
	}
	trim(parts)
	var out strings.Builder
	within := false
	for _, p := range parts {
		word := p.keyword()
		switch {
		case p.kind == textPart && p.body != "":
			out.WriteString("{{- " + quote(p.body) + " -}}")
		case p.kind == expressionPart:
			out.WriteString("{{- " + translate(p.body) + " -}}")
		case word == "generation" || word == "endgeneration":
			if within == (word == "generation") {
				return "", false, fmt.Errorf("{%% %s %%}: want each generation ended before the next", word)
			}
			within, generation = !within, true
			out.WriteString("{{- __" + word + " -}}")
		case p.kind == blockPart && word != "raw" && word != "endraw":
			out.WriteString("{%- " + translate(p.body) + " -%}")
		}
	}
	if within {
		return "", false, errors.New("{% generation %}: want {% endgeneration %} after it")
	}
	return out.String(), generation, nil
}

// kind is the second byte of what opens a part.
type kind byte

const (
	textPart       kind = 0
	expressionPart kind = '{'
	blockPart      kind = '%'
	commentPart    kind = '#'
)

// part is a piece of a template. left and right are the signs, '-', '+' or 0, in its
// delimiters, which say what happens to the white space around it.
type part struct {
	kind        kind
	body        string
	left, right byte
}

// keyword is the first word of a block.
func (p part) keyword() string {
	if p.kind != blockPart {
		return ""
	}
	word, _, _ := strings.Cut(strings.TrimSpace(p.body), " ")
	return word
}

var (
	newline = regexp.MustCompile(`\r\n|\r`)
	opener  = regexp.MustCompile(`\{[{%#]`)
	endraw  = regexp.MustCompile(`\{%[-+]?\s*endraw\s*[-+]?%\}`)
)

// split cuts a template into its parts. As jinja2 does, it takes any line ending for
// a newline and drops the last one.
func split(source string) ([]part, error) {
	source = strings.TrimSuffix(newline.ReplaceAllString(source, "\n"), "\n")
	var parts []part
	for rest := source; rest != ""; {
		at := opener.FindStringIndex(rest)
		if at == nil {
			return append(parts, part{body: rest}), nil
		}
		line := 1 + strings.Count(source[:len(source)-len(rest)+at[0]], "\n")
		parts = append(parts, part{body: rest[:at[0]]})
		p, length := readTag(rest[at[0]:])
		if length == 0 {
			return nil, fmt.Errorf("line %d: %s is not closed", line, rest[at[0]:at[1]])
		}
		parts = append(parts, p)
		rest = rest[at[0]+length:]
		if p.keyword() == "raw" {
			end := endraw.FindStringIndex(rest)
			if end == nil {
				return nil, fmt.Errorf("line %d: {%% raw %%} is not closed", line)
			}
			parts = append(parts, part{body: rest[:end[0]]})
			p, _ := readTag(rest[end[0]:])
			parts = append(parts, p)
			rest = rest[end[1]:]
		}
	}
	return parts, nil
}

// readTag reads the tag that s begins with. The length is 0 if nothing closes it.
func readTag(s string) (p part, length int) {
	p.kind = kind(s[1])
	end := tagEnd(s, p.kind)
	if end < 0 {
		return part{}, 0
	}
	p.body = s[2:end]
	if p.body != "" && strings.IndexByte("-+", p.body[0]) >= 0 {
		p.left, p.body = p.body[0], p.body[1:]
	}
	signs := "-+"
	if p.kind == expressionPart {
		signs = "-"
	}
	if last := len(p.body) - 1; last >= 0 && strings.IndexByte(signs, p.body[last]) >= 0 {
		p.right, p.body = p.body[last], p.body[:last]
	}
	return p, end + 2
}

// tagEnd is where the delimiter that closes the tag begins, or -1. Within strings
// and brackets there is none.
func tagEnd(s string, k kind) int {
	closer := map[kind]string{expressionPart: "}}", blockPart: "%}", commentPart: "#}"}[k]
	if k == commentPart {
		if end := strings.Index(s[2:], closer); end >= 0 {
			return 2 + end
		}
		return -1
	}
	depth := 0
	for i := 2; i < len(s); i++ {
		switch c := s[i]; {
		case depth == 0 && strings.HasPrefix(s[i:], closer):
			return i
		case c == '\'' || c == '"':
			i += len(literal.FindString(s[i:])) - 1
			if s[i] != c {
				return -1
			}
		case c == '{' || c == '[' || c == '(':
			depth++
		case depth > 0 && (c == '}' || c == ']' || c == ')'):
			depth--
		}
	}
	return -1
}

// trim applies the signs of each tag, and trim_blocks and lstrip_blocks, to the
// texts around it.
func trim(parts []part) {
	for i := range parts {
		p := &parts[i]
		if p.kind != textPart {
			continue
		}
		if i+1 < len(parts) {
			p.body = trimBefore(p.body, parts[i+1], i == 0)
		}
		if i > 0 {
			p.body = trimAfter(p.body, parts[i-1])
		}
	}
}

// trimBefore drops the white space of s that the tag after it eats: all of it for a
// '-'; the indentation if the tag is a block or comment and first in its line.
func trimBefore(s string, tag part, first bool) string {
	if tag.left == '-' {
		return strings.TrimRightFunc(s, unicode.IsSpace)
	}
	if tag.kind == expressionPart || tag.left == '+' {
		return s
	}
	line := strings.LastIndexByte(s, '\n') + 1
	if (line > 0 || first) && strings.TrimSpace(s[line:]) == "" {
		return s[:line]
	}
	return s
}

// trimAfter drops the white space of s that the tag before it eats: all of it for a
// '-', one newline if the tag is a block or comment.
func trimAfter(s string, tag part) string {
	if tag.right == '-' {
		return strings.TrimLeftFunc(s, unicode.IsSpace)
	}
	if tag.kind == expressionPart || tag.right == '+' {
		return s
	}
	return strings.TrimPrefix(s, "\n")
}

var (
	literal = regexp.MustCompile(`(?s)^(?:"(?:\\.|[^"\\])*"?|'(?:\\.|[^'\\])*'?)`)
	foreign = regexp.MustCompile(`(?s)"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'|\|\s*tojson\b|\}`)
	escaped = regexp.MustCompile(`(?s)\\(?:x[0-9a-fA-F]{2}|u[0-9a-fA-F]{4}|U[0-9a-fA-F]{8}|[0-7]{1,3}|.)`)
)

// translate makes the inside of a tag mean the same to the engine: strings without
// the escapes that it does not know, our tojson, and no "}}" but the last.
func translate(body string) string {
	return foreign.ReplaceAllStringFunc(body, func(s string) string {
		switch s[0] {
		case '|':
			return "| " + jsonFilter
		case '}':
			return "} "
		}
		return quote(escaped.ReplaceAllStringFunc(s[1:len(s)-1], unescape))
	})
}

// quote writes s as a literal of the engine's, which may hold newlines.
func quote(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}

// unescape is what one escape of a Python string stands for.
func unescape(s string) string {
	const letters, bytes = "abfnrtv\\'\"", "\a\b\f\n\r\t\v\\'\""
	if i := strings.IndexByte(letters, s[1]); i >= 0 && len(s) == 2 {
		return bytes[i : i+1]
	}
	digits, base := s[2:], 16
	switch c := s[1]; {
	case c == '\n':
		return ""
	case c >= '0' && c <= '7':
		digits, base = s[1:], 8
	case len(s) == 2 || c >= utf8.RuneSelf:
		return s
	}
	code, err := strconv.ParseUint(digits, base, 32)
	if err != nil || code > unicode.MaxRune {
		return s
	}
	return string(rune(code))
}
