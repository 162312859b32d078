package data_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"bdlora/data"
	"bdlora/data/chat"
)

// modelFolder has a tokenizer of ASCII characters whose post-processor begins every
// text with <s>.
func modelFolder(t *testing.T, config string) string {
	t.Helper()
	vocab := map[string]int{"<s>": 0, "</s>": 1, "Ġ": 2, "Ċ": 3}
	for c := '!'; c <= '~'; c++ {
		vocab[string(c)] = len(vocab)
	}
	special := func(id int, token string) map[string]any {
		return map[string]any{"id": id, "content": token, "special": true}
	}
	tokenizer, err := json.Marshal(map[string]any{
		"added_tokens":  []any{special(0, "<s>"), special(1, "</s>")},
		"pre_tokenizer": map[string]any{"type": "ByteLevel", "add_prefix_space": false, "use_regex": true},
		"decoder":       map[string]any{"type": "ByteLevel"},
		"model":         map[string]any{"type": "BPE", "vocab": vocab, "merges": []string{}},
		"post_processor": map[string]any{
			"type": "TemplateProcessing",
			"single": []any{
				map[string]any{"SpecialToken": map[string]any{"id": "<s>", "type_id": 0}},
				map[string]any{"Sequence": map[string]any{"id": "A", "type_id": 0}},
			},
			"special_tokens": map[string]any{"<s>": map[string]any{"id": "<s>", "ids": []int{0}, "tokens": []string{"<s>"}}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, content := range map[string]string{"tokenizer.json": string(tokenizer), "tokenizer_config.json": config} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestOpenEncoderReadsAModelFolder(t *testing.T) {
	row := data.Row{Format: data.FormatQuestionAnswer, Prompt: "1 + 1?", Completion: "2"}
	const plain = `{"bos_token": "<s>", "eos_token": "</s>"}`
	const templated = `{"bos_token": "<s>", "chat_template":
		"{{ bos_token }}{% for m in messages %}{{ m.role }}: {{ m.content }}\n{% endfor %}"}`
	for config, want := range map[string]string{
		plain:     "<s>1 + 1?\n[2</s>]",
		templated: "<s>user: 1 + 1?\n[assistant: 2\n]",
	} {
		e, err := data.OpenEncoder(modelFolder(t, config), data.DefaultConfig())
		if err != nil {
			t.Fatal(err)
		}
		examples, err := e.Inspect(row)
		if err != nil || len(examples) != 1 || shown(examples[0]) != want {
			t.Errorf("got %v (%v), want %q", examples, err, want)
		}
	}
}

func TestOpenEncoderRefuses(t *testing.T) {
	if _, err := data.OpenEncoder(t.TempDir(), data.DefaultConfig()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no tokenizer: got %v, want that it does not exist", err)
	}
	for config, want := range map[string]string{
		`{`:                        "tokenizer_config.json: unexpected end of JSON input",
		`{"eos_token": "<|eot|>"}`: `eos_token is "<|eot|>", want a token of the tokenizer`,
	} {
		_, err := data.OpenEncoder(modelFolder(t, config), data.DefaultConfig())
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v, want %s", config, err, want)
		}
	}
	cfg := data.DefaultConfig()
	cfg.MaxLength = 1
	_, err := data.OpenEncoder(modelFolder(t, `{"eos_token": "</s>"}`), cfg)
	if err == nil || !strings.Contains(err.Error(), "max_length is 1") {
		t.Errorf("max_length 1: got %v", err)
	}
}

func TestEncodePromptRefusesAConversationWithoutATemplate(t *testing.T) {
	e := encoder(t, data.DefaultConfig(), toy{}, "")
	for name, messages := range map[string][]chat.Message{
		"none":   nil,
		"two":    conversation("q", "a").Messages,
		"system": {{Role: chat.System, Content: "s"}},
	} {
		if got, err := e.EncodePrompt(messages); !errors.Is(err, chat.ErrNoTemplate) || !slices.Equal(got, nil) {
			t.Errorf("%s: got %v, %v; want ErrNoTemplate", name, got, err)
		}
	}
	refusing := encoder(t, data.DefaultConfig(), toy{}, "{{ raise_exception('never') }}")
	if _, err := refusing.EncodePrompt(conversation("q").Messages); err == nil || !strings.Contains(err.Error(), "never") {
		t.Errorf("got %v, want the template's error", err)
	}
}
