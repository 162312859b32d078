package chat

import (
	"errors"
	"fmt"
	"time"

	"github.com/ardanlabs/jinja"
)

// Roles of a message.
const (
	System    = "system"
	User      = "user"
	Assistant = "assistant"
)

// Message is one turn of a conversation.
type Message struct {
	Role    string
	Content string
}

// Template is a compiled chat template. It may be used concurrently.
type Template struct {
	compiled *jinja.Template
	special  Special
	now      time.Time
	// generation is whether the template itself marks the assistant's turns.
	generation bool
}

// Parse compiles the source of a template. special holds the tokens that it may
// name, now is what strftime_now tells it.
func Parse(source string, special Special, now time.Time) (*Template, error) {
	plain, generation, err := rewrite(source)
	if err != nil {
		return nil, fmt.Errorf("chat: template: %w", err)
	}
	compiled, err := jinja.Compile(plain)
	if err != nil {
		return nil, fmt.Errorf("chat: template: %w", err)
	}
	return &Template{compiled: compiled, special: special, now: now, generation: generation}, nil
}

// Render is the text of a conversation. With addGenerationPrompt it ends in what
// precedes an answer, if the template has such an ending.
//
// It returns an error if messages is empty or the template refuses them.
func (t *Template) Render(messages []Message, addGenerationPrompt bool) (string, error) {
	return t.render(messages, addGenerationPrompt, marks{})
}

// marks are what {% generation %} and {% endgeneration %} print.
type marks struct{ begin, end string }

func (t *Template) render(messages []Message, addGenerationPrompt bool, m marks) (text string, err error) {
	if len(messages) == 0 {
		return "", errors.New("chat: got no messages, want at least 1")
	}
	// The template is a stranger's, and the engine panics on some type errors.
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("chat: template: %v", p)
		}
	}()
	text, err = t.compiled.RenderValues(t.variables(messages, addGenerationPrompt, m))
	if err != nil {
		return "", fmt.Errorf("chat: template: %w", err)
	}
	return text, nil
}

// variables is all that a template can see.
func (t *Template) variables(messages []Message, addGenerationPrompt bool, m marks) map[string]jinja.Value {
	turns := make([]jinja.Value, len(messages))
	for i, message := range messages {
		turns[i] = jinja.NewDict()
		turns[i].AsDict().Set("role", jinja.NewString(message.Role))
		turns[i].AsDict().Set("content", jinja.NewString(message.Content))
	}
	vars := map[string]jinja.Value{
		"messages":              jinja.NewList(turns),
		"tools":                 jinja.None(),
		"documents":             jinja.None(),
		"add_generation_prompt": jinja.NewBool(addGenerationPrompt),
		"range":                 jinja.NewCallable("range", limitedRange),
		"strftime_now":          jinja.NewCallable("strftime_now", clock(t.now)),
		jsonFilter:              jinja.NewCallable("tojson", toJSON),
		generationBegin:         jinja.NewString(m.begin),
		generationEnd:           jinja.NewString(m.end),
	}
	for name, token := range t.special {
		vars[name] = jinja.NewString(token)
	}
	return vars
}
