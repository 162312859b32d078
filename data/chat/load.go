package chat

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// ErrNoTemplate says that the model folder has no chat template, as those of base
// models often have none.
var ErrNoTemplate = errors.New("no chat template in chat_template.jinja, tokenizer_config.json or chat_template.json")

// Load compiles the chat template of a model folder: chat_template.jinja, else that
// of tokenizer_config.json, else that of chat_template.json. Of several named ones it
// takes "default". now is what strftime_now tells the template.
//
// It returns an error that wraps [ErrNoTemplate] if there is none.
func Load(dir string, now time.Time) (*Template, error) {
	source, file, err := findTemplate(dir)
	if err != nil {
		return nil, err
	}
	special, err := LoadSpecial(dir)
	if err != nil {
		return nil, err
	}
	t, err := Parse(source, special, now)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	return t, nil
}

func findTemplate(dir string) (source, file string, err error) {
	file = filepath.Join(dir, "chat_template.jinja")
	raw, err := os.ReadFile(file)
	if err == nil {
		return string(raw), file, nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return "", "", err
	}
	for _, name := range []string{"tokenizer_config.json", "chat_template.json"} {
		var config struct {
			Template json.RawMessage `json:"chat_template"`
		}
		file = filepath.Join(dir, name)
		if err := readJSON(file, &config); err != nil {
			return "", "", err
		}
		if len(config.Template) == 0 || string(config.Template) == "null" {
			continue
		}
		source, err := defaultTemplate(config.Template)
		if err != nil {
			return "", "", fmt.Errorf("%s: chat_template: %w", file, err)
		}
		return source, file, nil
	}
	return "", "", fmt.Errorf("%s: %w", dir, ErrNoTemplate)
}

// defaultTemplate reads a template, or the default one of a list of named ones.
func defaultTemplate(raw json.RawMessage) (string, error) {
	var source string
	if json.Unmarshal(raw, &source) == nil {
		return source, nil
	}
	var named []struct{ Name, Template string }
	if err := json.Unmarshal(raw, &named); err != nil {
		return "", errors.New("want a string, or a list of objects with name and template")
	}
	var names []string
	for _, t := range named {
		if t.Name == "default" {
			return t.Template, nil
		}
		names = append(names, t.Name)
	}
	return "", fmt.Errorf(`got templates named %q, want one named "default"`, names)
}

// Special maps the names by which templates know special tokens, such as
// "bos_token", to their text.
type Special map[string]string

// LoadSpecial reads the special tokens of a model folder from tokenizer_config.json
// and, for those that it leaves out, from special_tokens_map.json. A token that the
// folder lacks or sets to null is left out.
func LoadSpecial(dir string) (Special, error) {
	special := Special{}
	for _, name := range []string{"tokenizer_config.json", "special_tokens_map.json"} {
		var fields map[string]json.RawMessage
		file := filepath.Join(dir, name)
		if err := readJSON(file, &fields); err != nil {
			return nil, err
		}
		for key, raw := range fields {
			if _, known := special[key]; known || !strings.HasSuffix(key, "_token") {
				continue
			}
			if token, ok := tokenText(raw); ok {
				special[key] = token
			}
		}
	}
	return special, nil
}

// tokenText reads a token that is a string, or an object that holds its text. Other
// keys that end in _token, such as add_bos_token, are neither.
func tokenText(raw json.RawMessage) (token string, ok bool) {
	if string(raw) == "null" {
		return "", false
	}
	if json.Unmarshal(raw, &token) == nil {
		return token, true
	}
	var added struct{ Content *string }
	if json.Unmarshal(raw, &added) != nil || added.Content == nil {
		return "", false
	}
	return *added.Content, true
}

// readJSON leaves v as it is if there is no such file.
func readJSON(file string, v any) error {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%s: %w", file, err)
	}
	return nil
}
