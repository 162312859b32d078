package chat_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"bdlora/data/chat"
)

// dialog alternates between the user and the assistant.
func dialog(contents ...string) []chat.Message {
	var messages []chat.Message
	for i, content := range contents {
		role := []string{chat.User, chat.Assistant}[i%2]
		messages = append(messages, chat.Message{Role: role, Content: content})
	}
	return messages
}

// bracketed writes each sample with its trained spans in brackets.
func bracketed(samples []chat.Sample) []string {
	var all []string
	for _, sample := range samples {
		var s strings.Builder
		at := 0
		for _, span := range sample.Trained {
			s.WriteString(sample.Text[at:span.Start] + "[" + sample.Text[span.Start:span.End] + "]")
			at = span.End
		}
		all = append(all, s.String()+sample.Text[at:])
	}
	return all
}

func TestTrainedSpansAreTheAssistantsTurns(t *testing.T) {
	for _, tt := range []struct {
		template string
		messages []chat.Message
		want     []string
	}{
		{"chatml.jinja", dialog("q", "a\n", "r", "b"), []string{
			"<|im_start|>system\nYou answer in few words.<|im_end|>\n<|im_start|>user\nq<|im_end|>\n" +
				"<|im_start|>assistant\n[a\n<|im_end|>\n]<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>\n]"}},
		{"llama2.jinja", dialog("q", "a", "r", "b"), []string{
			"<s>[INST] q [/INST][ a </s>]<s>[INST] r [/INST][ b </s>]"}},
		{"generation.jinja", dialog("q", " a "), []string{"<|user|>\nq<|end|><|assistant|>[a<|end|>]"}},
		{"chatml.jinja", dialog("q", "a", "unanswered"), []string{
			"<|im_start|>system\nYou answer in few words.<|im_end|>\n<|im_start|>user\nq<|im_end|>\n" +
				"<|im_start|>assistant\n[a<|im_end|>\n]<|im_start|>user\nunanswered<|im_end|>\n"}},
		{"reasoning.jinja", dialog("q", "<think>x</think>\na", "r", "<think>y</think>\nb"), []string{
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[<think>x</think>\na<|im_end|>\n]",
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n" +
				"<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[<think>y</think>\nb<|im_end|>\n]"}},
		{"reasoning.jinja", dialog("q", "a", "r", "b"), []string{
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>\n]" +
				"<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>\n]"}},
	} {
		samples, err := mustParse(t, source(t, tt.template)).RenderTrained(tt.messages)
		if got := bracketed(samples); err != nil || !slices.Equal(got, tt.want) {
			t.Errorf("%s: got (%v)\n%q, want\n%q", tt.template, err, got, tt.want)
		}
	}
}

// What is trained follows what a server would have put before it: the text up to a
// span is the rendered past with the generation prompt.
func TestEachSpanFollowsItsGenerationPrompt(t *testing.T) {
	messages := dialog("q", "<think>x</think>\na", "r", "<think>y</think>\nb", "s", "c")
	for _, name := range []string{"chatml", "llama2", "llama3", "qwen25", "mistral", "reasoning"} {
		template := mustParse(t, source(t, name+".jinja"))
		samples, err := template.RenderTrained(messages)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		turn := 0
		for _, sample := range samples {
			for _, span := range sample.Trained {
				want, err := template.Render(messages[:2*turn+1], true)
				if err != nil {
					t.Fatal(err)
				}
				if got := sample.Text[:span.Start]; got != want {
					t.Errorf("%s, turn %d: got %q before it, want %q", name, turn, got, want)
				}
				turn++
			}
		}
		if turn != 3 {
			t.Errorf("%s: got %d trained turns, want 3", name, turn)
		}
	}
}

func TestRenderTrainedRefuses(t *testing.T) {
	for _, tt := range []struct {
		name, template string
		messages       []chat.Message
		want           string
	}{
		{"another generation prompt", source(t, "mismatch.jinja"), dialog("q", "a"),
			`chat: template: message 1: generation prompt is " mode=open>", but the turn is written ">a</assistant>"`},
		{"no messages", source(t, "chatml.jinja"), nil, "chat: got no messages, want at least 1"},
		{"no answer", source(t, "chatml.jinja"), dialog("q"), "chat: got no turn of the assistant, want at least 1"},
		{"answer first", source(t, "chatml.jinja"), dialog("q", "a")[1:], "chat: the first turn is the assistant's"},
		{"no answer for generation", source(t, "generation.jinja"), dialog("q"),
			"chat: template: nothing rendered within {% generation %}"},
		{"our marks", source(t, "generation.jinja"), dialog("q", "a\uFDD0"),
			"chat: message 1: got a noncharacter U+FDD0 or U+FDD1"},
		{"an end left out", "{% generation %}{% if false %}{% endgeneration %}{% endif %}", dialog("q", "a"),
			"chat: template: {% generation %} within another"},
		{"the template's own", source(t, "mistral.jinja"), append(dialog("q", "a"), dialog("q", "a")[1]),
			"roles must alternate"},
	} {
		template, err := chat.Parse(tt.template, nil, time.Time{})
		if err != nil {
			t.Fatal(err)
		}
		samples, err := template.RenderTrained(tt.messages)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, %v; want %s", tt.name, samples, err, tt.want)
		}
	}
}

func TestRenderRefuses(t *testing.T) {
	for _, tt := range []struct{ name, template, want string }{
		{"endless range", "{% for i in range(10**9) %}{% endfor %}", "range: longer than 100000"},
		{"range of a fraction", "{{ range(1.5) }}", "range: got 1.5, want an integer"},
		{"range of text", "{{ range('a') }}", "range: got "},
		{"range without a step", "{{ range(1, 2, 0) }}", "range: step is 0"},
		{"range of nothing", "{{ range() }}", "range: got 0 arguments, want 1 to 3"},
		{"unknown directive", "{{ strftime_now('%Q') }}", `strftime_now: got "%Q", want after % one of`},
		{"directive cut off", "{{ strftime_now('%') }}", `strftime_now: got "%", want after % one of`},
		{"no directive", "{{ strftime_now(1) }}", "strftime_now: want one string"},
		{"undefined as JSON", "{{ nothing | tojson }}", "tojson: got an undefined value"},
		{"option of tojson", "{{ 1 | tojson(colour=1) }}", "tojson: got colour=1"},
		{"separator of tojson", "{{ 1 | tojson(separators=[1, 2]) }}", "tojson: got separator 1, want a string"},
		{"positional option of tojson", "{{ 1 | tojson(2) }}", "tojson: got 1 positional arguments"},
		{"unknown filter", "{{ 1 | rot13 }}", "rot13"},
	} {
		text, err := mustParse(t, tt.template).Render(dialog("q"), false)
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %q, %v; want %s", tt.name, text, err, tt.want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	for _, tt := range []struct{ template, want string }{
		{"a\n{{ b", "line 2: {{ is not closed"},
		{"{% raw %} {% endra %}", "line 1: {% raw %} is not closed"},
		{"{# comment", "line 1: {# is not closed"},
		{"{{ 'a }}", "line 1: {{ is not closed"},
		{"{% generation %}", "want {% endgeneration %} after it"},
		{"{% endgeneration %}", "want each generation ended before the next"},
		{"{% generation %}{% generation %}", "want each generation ended before the next"},
		{"{% if %}", "chat: template: jinja parse"},
		{"{% if true %}", "chat: template: jinja parse"},
	} {
		if _, err := chat.Parse(tt.template, nil, time.Time{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.template, err, tt.want)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{
		"{% generation %}{{ messages[0].content }}{% endgeneration %}", "{{ '\\", "{#-#}{%-+%}", "{% raw %}{% endraw",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, source string) {
		if strings.Contains(source, "macro") { // may call itself without end
			return
		}
		template, err := chat.Parse(source, nil, time.Time{})
		if err != nil {
			return
		}
		samples, err := template.RenderTrained(dialog("question", "answer", "q", "a"))
		if err != nil {
			return
		}
		for _, sample := range samples {
			at := 0
			for _, span := range sample.Trained {
				if span.Start < at || span.End < span.Start || span.End > len(sample.Text) {
					t.Fatalf("got span %v after byte %d of %d", span, at, len(sample.Text))
				}
				at = span.End
			}
		}
	})
}
