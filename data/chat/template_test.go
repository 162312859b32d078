package chat_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"bdlora/data/chat"
)

// goldens are what transformers made of the templates in testdata.
type goldens struct {
	Special       chat.Special
	Conversations [][]chat.Message
	Cases         []golden
}

type golden struct {
	Template            string
	Conversation        int
	AddGenerationPrompt bool `json:"add_generation_prompt"`
	Text                string
	Error               string
	Trained             [][2]int
}

var clock = time.Date(2026, 3, 7, 9, 5, 0, 0, time.UTC)

func readGoldens(t *testing.T) goldens {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", "goldens.json"))
	if err != nil {
		t.Fatal(err)
	}
	var g goldens
	if err := json.Unmarshal(raw, &g); err != nil {
		t.Fatal(err)
	}
	if len(g.Cases) == 0 {
		t.Fatal("got no cases")
	}
	return g
}

func source(t *testing.T, name string) string {
	t.Helper()
	raw, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func mustParse(t *testing.T, source string) *chat.Template {
	t.Helper()
	template, err := chat.Parse(source, chat.Special{"bos_token": "<s>", "eos_token": "</s>"}, clock)
	if err != nil {
		t.Fatal(err)
	}
	return template
}

func TestRenderIsThatOfTransformers(t *testing.T) {
	g := readGoldens(t)
	for _, c := range g.Cases {
		template, err := chat.Parse(source(t, c.Template), g.Special, clock)
		if err != nil {
			t.Fatalf("%s: %v", c.Template, err)
		}
		got, err := template.Render(g.Conversations[c.Conversation], c.AddGenerationPrompt)
		if c.Error != "" {
			if err == nil || !strings.Contains(err.Error(), c.Error) {
				t.Errorf("%s, conversation %d: got error %v, want %q", c.Template, c.Conversation, err, c.Error)
			}
			continue
		}
		if err != nil || got != c.Text {
			t.Errorf("%s, conversation %d, prompt %v:\ngot  %q (%v)\nwant %q",
				c.Template, c.Conversation, c.AddGenerationPrompt, got, err, c.Text)
		}
	}
}

func TestGenerationSpansAreThoseOfTransformers(t *testing.T) {
	g := readGoldens(t)
	checked := 0
	for _, c := range g.Cases {
		if len(c.Trained) == 0 || c.AddGenerationPrompt {
			continue
		}
		checked++
		samples, err := mustParse(t, source(t, c.Template)).RenderTrained(g.Conversations[c.Conversation])
		if err != nil {
			t.Fatal(err)
		}
		want := []chat.Sample{{Text: c.Text}}
		for _, span := range c.Trained {
			want[0].Trained = append(want[0].Trained, chat.Span{Start: span[0], End: span[1]})
		}
		if !reflect.DeepEqual(samples, want) {
			t.Errorf("%s, conversation %d:\ngot  %v\nwant %v", c.Template, c.Conversation, samples, want)
		}
	}
	if checked == 0 {
		t.Error("no golden has spans")
	}
}

func TestAnyLineEndingIsANewline(t *testing.T) {
	messages := []chat.Message{{Role: chat.User, Content: "a"}, {Role: chat.Assistant, Content: "b"}}
	unix := source(t, "whitespace.jinja")
	want, err := mustParse(t, unix).Render(messages, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, ending := range []string{"\r\n", "\r"} {
		got, err := mustParse(t, strings.ReplaceAll(unix, "\n", ending)).Render(messages, true)
		if err != nil || got != want {
			t.Errorf("%q: got %q (%v), want %q", ending, got, err, want)
		}
	}
}
