package chat_test

import (
	"errors"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bdlora/data/chat"
)

// folder writes files, by name, into a new folder.
func folder(t *testing.T, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestLoadFindsTheTemplate(t *testing.T) {
	const inConfig = `{"chat_template": "config {{ bos_token }}{{ eos_token }}{{ pad_token }}", "bos_token": "<b>",
		"eos_token": {"__type": "AddedToken", "content": "<e>", "lstrip": false}, "pad_token": null, "add_bos_token": true}`
	for _, tt := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"a string", map[string]string{"tokenizer_config.json": inConfig}, "config <b><e>"},
		{"named ones", map[string]string{"tokenizer_config.json": `{"chat_template": [
			{"name": "tool_use", "template": "tools"}, {"name": "default", "template": "the default"}]}`}, "the default"},
		{"its own file first", map[string]string{
			"chat_template.jinja": "file {{ bos_token }}", "tokenizer_config.json": inConfig}, "file <b>"},
		{"chat_template.json last", map[string]string{
			"chat_template.json":      `{"chat_template": "json {{ bos_token }}"}`,
			"tokenizer_config.json":   `{"chat_template": null}`,
			"special_tokens_map.json": `{"bos_token": {"content": "<m>"}}`}, "json <m>"},
		{"tokens of both files", map[string]string{"tokenizer_config.json": inConfig,
			"special_tokens_map.json": `{"bos_token": "<other>", "pad_token": "<p>", "additional_special_tokens": ["<x>"]}`},
			"config <b><e><p>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			template, err := chat.Load(folder(t, tt.files), clock)
			if err != nil {
				t.Fatal(err)
			}
			if got, err := template.Render(dialog("q"), false); err != nil || got != tt.want {
				t.Errorf("got %q (%v), want %q", got, err, tt.want)
			}
		})
	}
}

func TestLoadRefuses(t *testing.T) {
	for _, tt := range []struct{ name, file, content, want string }{
		{"no default", "tokenizer_config.json", `{"chat_template": [{"name": "rag", "template": "x"}]}`,
			`tokenizer_config.json: chat_template: got templates named ["rag"], want one named "default"`},
		{"a number", "tokenizer_config.json", `{"chat_template": 7}`,
			"tokenizer_config.json: chat_template: want a string, or a list of objects with name and template"},
		{"no JSON", "chat_template.json", `{`, "chat_template.json: unexpected end of JSON input"},
		{"no Jinja", "chat_template.jinja", `{% if %}`, "chat_template.jinja: chat: template: jinja parse"},
	} {
		_, err := chat.Load(folder(t, map[string]string{tt.file: tt.content}), clock)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	if _, err := chat.Load(t.TempDir(), clock); !errors.Is(err, chat.ErrNoTemplate) {
		t.Errorf("empty folder: got %v, want ErrNoTemplate", err)
	}
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "chat_template.jinja"), 0o700); err != nil {
		t.Fatal(err)
	}
	var pathError *fs.PathError
	if _, err := chat.Load(dir, clock); !errors.As(err, &pathError) {
		t.Errorf("unreadable file: got %v, want the file system's error", err)
	}
}

func TestLoadSpecialTakesTokensOnly(t *testing.T) {
	dir := folder(t, map[string]string{"tokenizer_config.json": `{"bos_token": "<b>", "unk_token": null,
		"add_eos_token": false, "eos_token": {"content": "<e>"}, "sep_token": {}, "model_max_length": 7}`})
	got, err := chat.LoadSpecial(dir)
	if want := (chat.Special{"bos_token": "<b>", "eos_token": "<e>"}); err != nil || !maps.Equal(got, want) {
		t.Errorf("got %v (%v), want %v", got, err, want)
	}
	if got, err := chat.LoadSpecial(t.TempDir()); err != nil || len(got) != 0 {
		t.Errorf("empty folder: got %v (%v), want no tokens", got, err)
	}
}
