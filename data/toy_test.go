package data_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"bdlora/data"
	"bdlora/data/chat"
	"bdlora/data/tokenizer"
)

// toySpecial are the special tokens of toy, numbered from 256 on; all other tokens
// are bytes.
var toySpecial = []string{"<s>", "</s>", "<|im_start|>", "<|im_end|>"}

const (
	toyBOS = 256
	toyEOS = 257
)

// toy is a tokenizer of bytes.
type toy struct {
	addsBOS bool
	pairs   bool // ": " is one token, 300
}

func (t toy) EncodeOffsets(text string) []tokenizer.Piece {
	var tokens []tokenizer.Piece
	for i := 0; i < len(text); {
		id, length := int32(text[i]), 1
		if t.pairs && strings.HasPrefix(text[i:], ": ") {
			id, length = 300, 2
		}
		if special, ok := leading(text[i:]); ok {
			id, length = special, len(toySpecial[special-256])
		}
		tokens = append(tokens, tokenizer.Piece{ID: id, Start: i, End: i + length})
		i += length
	}
	return tokens
}

func leading(text string) (id int32, ok bool) {
	for i, token := range toySpecial {
		if strings.HasPrefix(text, token) {
			return 256 + int32(i), true
		}
	}
	return 0, false
}

func (t toy) Encode(text string, addSpecial bool) []int32 {
	var ids []int32
	if addSpecial && t.addsBOS {
		ids = append(ids, toyBOS)
	}
	for _, token := range t.EncodeOffsets(text) {
		ids = append(ids, token.ID)
	}
	return ids
}

func (t toy) TokenID(token string) (int32, bool) {
	id, ok := leading(token)
	return id, ok && toySpecial[id-256] == token
}

const chatML = "{% for m in messages %}{{ '<|im_start|>' + m.role + '\n' + m.content + '<|im_end|>\n' }}{% endfor %}" +
	"{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"

var toyNames = chat.Special{"bos_token": "<s>", "eos_token": "</s>"}

// encoder has a chat template if source is not empty.
func encoder(t *testing.T, cfg data.Config, tok data.Tokenizer, source string) *data.Encoder {
	t.Helper()
	var template *chat.Template
	if source != "" {
		var err error
		if template, err = chat.Parse(source, toyNames, time.Time{}); err != nil {
			t.Fatal(err)
		}
	}
	e, err := data.NewEncoder(cfg, tok, template, toyNames)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func write(t *testing.T, lines ...string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "train.jsonl")
	if err := os.WriteFile(file, []byte(strings.Join(lines, "\n")), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// shown writes the trained tokens of an example in brackets.
func shown(pieces []data.MarkedToken) string {
	var s strings.Builder
	trained := false
	for _, p := range pieces {
		if p.Trained != trained {
			s.WriteString(map[bool]string{true: "[", false: "]"}[p.Trained])
			trained = p.Trained
		}
		s.WriteString(p.Text)
	}
	if trained {
		s.WriteString("]")
	}
	return s.String()
}
