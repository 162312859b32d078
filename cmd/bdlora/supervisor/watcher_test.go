package supervisor

import (
	"bytes"
	"testing"
)

func TestWatcherKnowsLastWords(t *testing.T) {
	for text, want := range map[string]struct{ reported, explained bool }{
		"bdlora: rows.jsonl:1: bad\n":               {true, true},
		"[1,3]<stderr>:bdlora: rows.jsonl:1: bad\n": {true, true},
		" 12: bdlora: rows.jsonl:1: bad\n":          {true, true},
		"panic: index out of range\n":               {true, false},
		"step 3\nfatal error: out of memory\n":      {true, false},
		"bdlora: not yet a whole line":              {false, false},
		"the command is bdlora: train\n":            {false, false},
		"":                                          {false, false},
	} {
		for _, piece := range []int{1, 5, len(text) + 1} {
			var out bytes.Buffer
			w := newWatcher(&out)
			for rest := []byte(text); len(rest) > 0; {
				n := min(piece, len(rest))
				if _, err := w.Write(rest[:n]); err != nil {
					t.Fatal(err)
				}
				rest = rest[n:]
			}
			reported := false
			select {
			case <-w.reported:
				reported = true
			default:
			}
			if reported != want.reported || w.explained() != want.explained {
				t.Errorf("%q in pieces of %d: got reported %v and explained %v, want %+v",
					text, piece, reported, w.explained(), want)
			}
			if out.String() != text {
				t.Errorf("got %q passed on, want %q", out.String(), text)
			}
		}
	}
}
