package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/data"
	"bdlora/data/chat"
	"bdlora/data/tokenizer"
	"bdlora/kernels"
	"bdlora/model"
)

func generateCommand() *cli.Command {
	return &cli.Command{
		Name:  "generate",
		Usage: "answer prompts with a model, with or without an adapter",
		Description: "Without --prompt, each line of the standard input is one. Prompts go through the model's chat\n" +
			"template as a message of the user; with --raw, or where the model has no template, they are continued\n" +
			"as they are.",
		Flags: []cli.Flag{
			modelFlag, adapterFlag, baseDtypeFlag, cacheDirFlag, threadsFlag,
			&cli.StringFlag{Name: "prompt", Aliases: []string{"p"}, Usage: "`TEXT` to answer"},
			&cli.StringFlag{Name: "system", Usage: "`TEXT` of a system message before it"},
			&cli.BoolFlag{Name: "raw", Usage: "continue the prompt without the chat template"},
			&cli.IntFlag{Name: "max_new_tokens", Value: 256, Usage: "longest answer"},
			&cli.Float64Flag{Name: "temperature", Usage: "0 always takes the likeliest token, 1 samples as the model says"},
			&cli.IntFlag{Name: "top_k", Usage: "sample from the `K` likeliest tokens; 0 is all"},
			&cli.Float64Flag{Name: "top_p", Value: 1, Usage: "sample from the likeliest tokens that make up `P`"},
			&cli.Uint64Flag{Name: "seed", Value: 42, Usage: "of the sampling"},
		},
		Action: generate,
	}
}

func generate(c *cli.Context) error {
	if err := errors.Join(arguments(c, 0, 0), checkSampling(c)); err != nil {
		return err
	}
	be, l, err := open(c)
	if err != nil {
		return err
	}
	defer l.Close()
	if err := l.quantize(c, be.Threads()); err != nil {
		return err
	}
	a, err := newAnswerer(be, l, c.Bool("raw"), c.String("system"))
	if err != nil {
		return err
	}
	a.cfg.MaxNewTokens = c.Int("max_new_tokens")
	a.cfg.Sampling = model.Sampling{
		Temperature: c.Float64("temperature"), TopK: c.Int("top_k"), TopP: c.Float64("top_p"), Seed: c.Uint64("seed"),
	}
	if c.IsSet("prompt") {
		return a.answer(c.Context, c.App.Writer, c.String("prompt"))
	}
	lines := bufio.NewScanner(c.App.Reader)
	lines.Buffer(nil, 16<<20)
	for lines.Scan() {
		if err := a.answer(c.Context, c.App.Writer, lines.Text()); err != nil {
			return err
		}
	}
	return lines.Err()
}

func checkSampling(c *cli.Context) error {
	switch {
	case !(c.Float64("temperature") >= 0):
		return usagef("--temperature: got %g, want at least 0", c.Float64("temperature"))
	case !(c.Float64("top_p") > 0 && c.Float64("top_p") <= 1):
		return usagef("--top_p: got %g, want more than 0 and at most 1", c.Float64("top_p"))
	case c.Float64("temperature") == 0 && (c.IsSet("top_k") || c.IsSet("top_p") || c.IsSet("seed")):
		return usagef("--top_k, --top_p, --seed: got one of them with --temperature 0, which draws nothing")
	case c.Bool("raw") && c.IsSet("system"):
		return usagef("--system: got it with --raw, which leaves out the template that it would go through")
	}
	return errors.Join(atLeast(c, 1, "max_new_tokens"), atLeast(c, 0, "top_k"))
}

// answerer answers prompts.
type answerer struct {
	be        kernels.Backend
	model     *model.Model
	trainable *model.Trainable
	raw       bool
	system    string
	tokenizer *tokenizer.Tokenizer
	encoder   *data.Encoder // nil if raw
	cfg       model.GenerateConfig
}

func newAnswerer(be kernels.Backend, l *loaded, raw bool, system string) (*answerer, error) {
	a := &answerer{be: be, model: l.model, trainable: l.trainable(be), raw: raw, system: system}
	var err error
	if a.tokenizer, err = tokenizer.Load(l.model.Dir); err != nil {
		return nil, err
	}
	if !raw {
		cfg := data.DefaultConfig()
		cfg.Now = time.Now()
		if a.encoder, err = data.OpenEncoder(l.model.Dir, cfg); err != nil {
			return nil, err
		}
	}
	a.cfg.Stop, err = l.model.Config.StopTokens(l.model.Dir)
	return a, err
}

// prompt is the tokens of one.
func (a *answerer) prompt(text string) ([]int32, error) {
	if a.raw {
		return a.tokenizer.Encode(text, true), nil
	}
	var messages []chat.Message
	if a.system != "" {
		messages = append(messages, chat.Message{Role: chat.System, Content: a.system})
	}
	return a.encoder.EncodePrompt(append(messages, chat.Message{Role: chat.User, Content: text}))
}

// answer writes the answer to a prompt and a newline, each word as it comes.
func (a *answerer) answer(ctx context.Context, w io.Writer, text string) error {
	prompt, err := a.prompt(text)
	if err != nil {
		return err
	}
	room := a.model.Config.MaxSeqLen - len(prompt)
	if room < 1 {
		return fmt.Errorf("prompt: got %d tokens, want fewer than the model's %d positions", len(prompt), a.model.Config.MaxSeqLen)
	}
	cfg := a.cfg
	cfg.MaxNewTokens = min(cfg.MaxNewTokens, room)
	g := model.NewGenerator(a.be, a.model, a.trainable, len(prompt)+cfg.MaxNewTokens)
	stream := a.tokenizer.NewStream(true)
	err = g.Generate(ctx, prompt, cfg, func(token int32) error {
		_, err := io.WriteString(w, stream.Push(token))
		return err
	})
	if err != nil {
		return err
	}
	_, err = fmt.Fprintln(w, stream.Flush())
	return err
}
