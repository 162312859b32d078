package tokenizer

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// addedToken is a token that is found in the text before anything else is done.
type addedToken struct {
	ID         int32  `json:"id"`
	Content    string `json:"content"`
	SingleWord bool   `json:"single_word"` // not beside a letter, digit or the like
	LStrip     bool   `json:"lstrip"`      // takes the space to its left along
	RStrip     bool   `json:"rstrip"`      // takes the space to its right along
	Normalized bool   `json:"normalized"`  // is looked for in normalized text
	Special    bool   `json:"special"`
}

// matcher finds added tokens: a tree of their bytes.
type matcher struct {
	next  map[byte]*matcher
	token *addedToken // nil where none ends
}

// add lets m find a where the text has content.
func (m *matcher) add(content string, a *addedToken) {
	for i := range len(content) {
		if m.next == nil {
			m.next = map[byte]*matcher{}
		}
		if m.next[content[i]] == nil {
			m.next[content[i]] = &matcher{}
		}
		m = m.next[content[i]]
	}
	if m.token == nil {
		m.token = a
	}
}

// longest is the longest token that text begins with, nil if there is none.
func (m *matcher) longest(text string) (found *addedToken, length int) {
	for i := 0; m != nil; i++ {
		if m.token != nil {
			found, length = m.token, i
		}
		if i == len(text) {
			break
		}
		m = m.next[text[i]]
	}
	return found, length
}

// split cuts text at the added tokens of m, the leftmost first and of those the
// longest, and calls yield for each part in turn: a token with all it takes along,
// or, with nil, the text between. A token that begins with a space overlaps one
// before it that takes the space to its right along; so it does in the library.
func (m *matcher) split(text string, yield func(a *addedToken, start, end int)) {
	done := 0
	for at := 0; at < len(text); {
		a, length := m.longest(text[at:])
		if a == nil {
			at++
			continue
		}
		start, end := at, at+length
		at = end
		if a.SingleWord && !standsAlone(text[:start], text[end:]) {
			continue
		}
		if a.LStrip {
			start = done + len(strings.TrimRightFunc(text[done:max(done, start)], unicode.IsSpace))
		}
		if a.RStrip { // up to done there is space at most
			end = len(text) - len(strings.TrimLeftFunc(text[max(done, end):], unicode.IsSpace))
		}
		if start >= end {
			continue // a token of spaces, which its neighbour has taken along
		}
		if done < start {
			yield(nil, done, start)
		}
		yield(a, start, end)
		done = end
	}
	if done < len(text) {
		yield(nil, done, len(text))
	}
}

// standsAlone tells that neither before ends nor after begins with a word character.
func standsAlone(before, after string) bool {
	last, _ := utf8.DecodeLastRuneInString(before)
	first, _ := utf8.DecodeRuneInString(after)
	return (before == "" || !isWord(last)) && (after == "" || !isWord(first))
}

// isWord is \w of Unicode's regular expressions (UTS 18, Annex C).
func isWord(r rune) bool {
	return classOf(r) == letter || numbers16.has(r) || unicode.In(r, unicode.M, unicode.Nd, unicode.Nl, unicode.Pc,
		unicode.Other_Alphabetic, unicode.Join_Control)
}
