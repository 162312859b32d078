package data_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"bdlora/data"
	"bdlora/data/chat"
)

func conversation(contents ...string) data.Row {
	row := data.Row{File: "train.jsonl", Line: 17, Format: data.FormatMessages}
	for i, content := range contents {
		role := []string{chat.User, chat.Assistant}[i%2]
		row.Messages = append(row.Messages, chat.Message{Role: role, Content: content})
	}
	return row
}

// A template that forgets what the assistant said before.
const forgetful = "{% for m in messages %}{{ m.role[0] }}:" +
	"{{ m.content if m.role == 'user' or loop.last else '…' }};{% endfor %}" +
	"{% if add_generation_prompt %}a:{% endif %}"

func TestTrainedAreTheTokensThatBeginInAnAnswer(t *testing.T) {
	qa := data.Row{Format: data.FormatQuestionAnswer, Prompt: "q?", Completion: "a."}
	alpaca := data.Row{Format: data.FormatAlpaca, Prompt: "Add.", Input: "1 2", Completion: "3"}
	prompt := data.Row{Format: data.FormatPromptCompletion, Prompt: "p: ", Completion: "c"}
	chatOf := conversation("q", "a", "r", "b")
	const generation = "<s>{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% else %}" +
		"{% generation %}{{ m.content }}</s>{% endgeneration %}{% endif %}{% endfor %}"
	for _, tt := range []struct {
		name     string
		template string
		cfg      data.Config
		row      data.Row
		want     []string
	}{
		{"conversation", chatML, data.Config{}, chatOf, []string{
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\n[a<|im_end|>\n]" +
				"<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>\n]"}},
		{"mask_history", chatML, data.Config{MaskHistory: true}, chatOf, []string{
			"<|im_start|>user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n" +
				"<|im_start|>user\nr<|im_end|>\n<|im_start|>assistant\n[b<|im_end|>\n]"}},
		{"train_on_prompt", chatML, data.Config{TrainOnPrompt: true}, conversation("q", "a"), []string{
			"<|im_start|>[user\nq<|im_end|>\n<|im_start|>assistant\na<|im_end|>\n]"}},
		{"question and answer as turns", chatML, data.Config{}, qa, []string{
			"<|im_start|>user\nq?<|im_end|>\n<|im_start|>assistant\n[a.<|im_end|>\n]"}},
		{"alpaca as turns", chatML, data.Config{}, alpaca, []string{
			"<|im_start|>user\nAdd.\n1 2<|im_end|>\n<|im_start|>assistant\n[3<|im_end|>\n]"}},
		{"marked by the template", generation, data.Config{}, chatOf, []string{"<s>q[a</s>]r[b</s>]"}},
		{"the past rewritten", forgetful, data.Config{}, conversation("q", "a", "r", "b"), []string{
			"u:q;a:[a;]", "u:q;a:…;u:r;a:[b;]"}},
		{"the past rewritten, mask_history", forgetful, data.Config{MaskHistory: true}, chatOf, []string{
			"u:q;a:…;u:r;a:[b;]"}},
		{"plain question and answer", "", data.Config{}, qa, []string{"<s>q?\n[a.</s>]"}},
		{"plain prompt and completion", "", data.Config{}, prompt, []string{"<s>p: [c</s>]"}},
		{"plain alpaca", "", data.Config{}, alpaca, []string{
			"<s>Below is an instruction that describes a task, paired with an input that provides further context. " +
				"Write a response that appropriately completes the request.\n\n" +
				"### Instruction:\nAdd.\n\n### Input:\n1 2\n\n### Response:\n[3</s>]"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			tt.cfg.Format, tt.cfg.ExcessLength = data.FormatAuto, data.ExcessRaise
			examples, err := encoder(t, tt.cfg, toy{addsBOS: true}, tt.template).Inspect(tt.row)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, pieces := range examples {
				got = append(got, shown(pieces))
			}
			if !slices.Equal(got, tt.want) {
				t.Errorf("got  %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestInspectShowsWhatEncodeGives(t *testing.T) {
	e := encoder(t, data.DefaultConfig(), toy{addsBOS: true}, "")
	row := data.Row{Format: data.FormatQuestionAnswer, Prompt: "é?", Completion: "ü"}
	examples, counts, err := e.Encode(row)
	if err != nil {
		t.Fatal(err)
	}
	shown, err := e.Inspect(row)
	if err != nil || len(shown) != 1 || len(examples) != 1 || counts != (data.Counts{Rows: 1}) {
		t.Fatalf("got %d and %d examples, %+v, %v; want one each", len(shown), len(examples), counts, err)
	}
	for i, piece := range shown[0] {
		if piece.ID != examples[0].Tokens[i] || piece.Trained != examples[0].Trained[i] {
			t.Errorf("token %d: got %v, want %d %v", i, piece, examples[0].Tokens[i], examples[0].Trained[i])
		}
	}
}

func TestOneBeginningOfSequenceNeverTwo(t *testing.T) {
	const withBOS = "{{ bos_token }}{% for m in messages %}{{ m.content }}{% endfor %}"
	for _, tt := range []struct {
		name, template, prompt string
		tokenizer              toy
		want                   int
	}{
		{"template writes it", withBOS, "p", toy{addsBOS: true}, 1},
		{"template writes none", chatML, "p", toy{addsBOS: true}, 0},
		{"plain", "", "p", toy{addsBOS: true}, 1},
		{"plain text has it", "", "<s>p", toy{addsBOS: true}, 1},
		{"tokenizer has none", "", "p", toy{}, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e := encoder(t, data.DefaultConfig(), tt.tokenizer, tt.template)
			row := data.Row{Format: data.FormatPromptCompletion, Prompt: tt.prompt, Completion: "c"}
			examples, _, err := e.Encode(row)
			if err != nil {
				t.Fatal(err)
			}
			prompt, err := e.EncodePrompt([]chat.Message{{Role: chat.User, Content: tt.prompt}})
			if err != nil {
				t.Fatal(err)
			}
			for what, tokens := range map[string][]int32{"row": examples[0].Tokens, "prompt": prompt} {
				got := 0
				for _, token := range tokens {
					if token == toyBOS {
						got++
					}
				}
				if got != tt.want || tt.want > 0 && tokens[0] != toyBOS {
					t.Errorf("%s: got %d in %v, want %d", what, got, tokens, tt.want)
				}
			}
		})
	}
}

func TestPromptIsHowTheExampleBegins(t *testing.T) {
	for name, template := range map[string]string{"chat": chatML, "plain": ""} {
		e := encoder(t, data.DefaultConfig(), toy{addsBOS: true}, template)
		row := data.Row{Format: data.FormatPromptCompletion, Prompt: "what?", Completion: "that"}
		examples, _, err := e.Encode(row)
		if err != nil {
			t.Fatal(err)
		}
		prompt, err := e.EncodePrompt(row.Conversation()[:1])
		if err != nil {
			t.Fatal(err)
		}
		want := examples[0].Tokens[:slices.Index(examples[0].Trained, true)]
		if !slices.Equal(prompt, want) {
			t.Errorf("%s: got %v, want %v", name, prompt, want)
		}
	}
}

func TestATokenAcrossTheBorderBelongsToThePrompt(t *testing.T) {
	const template = "{% for m in messages %}{{ m.role }}:{{ ' ' if m.role == 'assistant' }}{{ m.content }}{% endfor %}" +
		"{% if add_generation_prompt %}assistant:{% endif %}"
	e := encoder(t, data.DefaultConfig(), toy{pairs: true}, template)
	examples, err := e.Inspect(conversation("q", "a"))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := shown(examples[0]), "user:qassistant: [a]"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	if _, counts, _ := e.Encode(conversation("q", "a")); counts.Straddling != 1 {
		t.Errorf("got %d straddling tokens, want 1", counts.Straddling)
	}
}

func TestExcessLength(t *testing.T) {
	row := data.Row{File: "f", Line: 3, Format: data.FormatPromptCompletion, Prompt: "1234", Completion: "5678"}
	for _, tt := range []struct {
		strategy data.ExcessLength
		limit    int
		tokens   int // 0 for no example
		want     data.Counts
		err      string
	}{
		{data.ExcessRaise, 9, 9, data.Counts{Rows: 1}, ""},
		{data.ExcessRaise, 0, 9, data.Counts{Rows: 1}, ""},
		{data.ExcessDrop, 8, 0, data.Counts{Rows: 1, Dropped: 1}, ""},
		{data.ExcessTruncate, 8, 8, data.Counts{Rows: 1, Truncated: 1}, ""},
		{data.ExcessTruncate, 4, 0, data.Counts{}, "f:3: no token to train on in the first 4 of 9 tokens (max_length)"},
		{data.ExcessRaise, 8, 0, data.Counts{}, "f:3: row too long: 9 tokens, want at most 8 (max_length)"},
	} {
		cfg := data.Config{Format: data.FormatAuto, MaxLength: tt.limit, ExcessLength: tt.strategy}
		examples, counts, err := encoder(t, cfg, toy{}, "").Encode(row)
		if tt.err != "" {
			var bad *data.RowError
			if !errors.As(err, &bad) || err.Error() != tt.err {
				t.Errorf("%s %d: got %v, want %s", tt.strategy, tt.limit, err, tt.err)
			}
			continue
		}
		tokens := 0
		if len(examples) > 0 {
			tokens = len(examples[0].Tokens)
		}
		if err != nil || tokens != tt.tokens || counts != tt.want {
			t.Errorf("%s %d: got %d tokens, %+v, %v; want %d, %+v",
				tt.strategy, tt.limit, tokens, counts, err, tt.tokens, tt.want)
		}
	}
}

func TestWhatCannotBeEncodedSaysWhere(t *testing.T) {
	const raising = "{{ raise_exception('only poems') }}"
	const silent = "{% for m in messages %}{% if m.role == 'user' %}{{ m.content }}{% endif %}{% endfor %}"
	for _, tt := range []struct{ name, template, want string }{
		{"no template", "",
			"train.jsonl:17: format \"messages\" needs a chat template: the model folder has no chat template"},
		{"template refuses", raising, "train.jsonl:17: chat: template: only poems"},
		{"answer not written", silent, "train.jsonl:17: no token to train on: 1 tokens, want one of the assistant's"},
	} {
		_, _, err := encoder(t, data.DefaultConfig(), toy{}, tt.template).Encode(conversation("q", "a"))
		if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
			t.Errorf("%s: got %v, want %s", tt.name, err, tt.want)
		}
	}
	_, err := data.NewEncoder(data.DefaultConfig(), toy{}, nil, chat.Special{})
	if err == nil || !strings.Contains(err.Error(), `eos_token is ""`) {
		t.Errorf("no eos_token: got %v", err)
	}
}
