package tokenizer_test

import (
	"testing"
	"unicode/utf8"

	"bdlora/data/tokenizer"
)

// streamed decodes ids one by one and sees that no character comes in parts.
func streamed(t *testing.T, tk *tokenizer.Tokenizer, ids []int32, skipSpecial bool) string {
	t.Helper()
	s := tk.NewStream(skipSpecial)
	text := ""
	for _, id := range ids {
		part := s.Push(id)
		if !utf8.ValidString(part) {
			t.Errorf("token %d: got %q, want whole characters", id, part)
		}
		text += part
	}
	return text + s.Flush()
}

func TestStreamIsDecodeInParts(t *testing.T) {
	forAllGoldens(t, func(t *testing.T, tk *tokenizer.Tokenizer, c goldenCase) {
		if got, want := streamed(t, tk, c.IDs, true), tk.Decode(c.IDs, true); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	})
}

// One U+FFFD stands for each maximal start of a character, as in Rust and Python.
func TestBrokenTextDecodesAsInRust(t *testing.T) {
	tk := load(t, "llama3")
	for text, want := range map[string]string{
		"a\xffb":                 "a\ufffdb",
		"\xe2\x82":               "\ufffd",
		"\xe2\x82a":              "\ufffda",
		"\xe2\x28\xa1":           "\ufffd(\ufffd",
		"\xf0\x9f\x98":           "\ufffd",
		"\xf0\x9f\x98\xf0\x9f":   "\ufffd\ufffd",
		"\xf0\x80\x80\x80":       "\ufffd\ufffd\ufffd\ufffd",
		"\xed\xa0\x80":           "\ufffd\ufffd\ufffd",
		"\xc0\xaf":               "\ufffd\ufffd",
		"\xf4\x90\x80\x80":       "\ufffd\ufffd\ufffd\ufffd",
		"\xf0\x9f\x98\x80\xc3":   "😀\ufffd",
		"\ufffd":                 "\ufffd",
		"\xe4\xba\xba\xe4\xba a": "人\ufffd a",
	} {
		ids := tk.Encode(text, false)
		if got := tk.Decode(ids, false); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
		if got := streamed(t, tk, ids, false); got != want {
			t.Errorf("%q as a stream: got %q, want %q", text, got, want)
		}
	}
}

func TestStreamHoldsBackHalfACharacter(t *testing.T) {
	tk := load(t, "llama3")
	s := tk.NewStream(false)
	for i, want := range []string{"", "", "", "😀"} {
		ids := tk.Encode("😀"[i:i+1], false)
		if len(ids) != 1 {
			t.Fatalf("byte %d: got %d tokens, want 1", i, len(ids))
		}
		if got := s.Push(ids[0]); got != want {
			t.Errorf("byte %d: got %q, want %q", i, got, want)
		}
	}
	if got := s.Flush(); got != "" {
		t.Errorf("at the end: got %q, want nothing", got)
	}
}
