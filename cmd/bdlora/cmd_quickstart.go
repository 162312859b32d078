package main

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/data"
	"bdlora/data/chat"
	"bdlora/kernels"
	"bdlora/model"
	"bdlora/train"
)

// example is a small base model with a dataset; quickstart/README.md says how they
// were made.
//
//go:embed quickstart/model quickstart/train.jsonl quickstart/heldout.jsonl
var example embed.FS

func quickstartCommand() *cli.Command {
	return &cli.Command{
		Name:  "quickstart",
		Usage: "train the embedded example: a BD-LoRA adapter of 4 blocks, in well under a minute",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Value: "bdlora-quickstart", Usage: "`DIR` for all that it writes"},
			&cli.Uint64Flag{Name: "seed", Value: 42, Usage: "of the adapter and the order of the rows"},
			threadsFlag,
		},
		Action: quickstart,
	}
}

func quickstart(c *cli.Context) error {
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	dir := c.String("output")
	cfg := quickstartConfig(dir)
	cfg.Seed, cfg.Threads = c.Uint64("seed"), c.Int(threadsFlag.Name)
	be, err := newBackend(c)
	if err != nil {
		return err
	}
	if entries, err := os.ReadDir(dir); err == nil && len(entries) > 0 {
		return fmt.Errorf("--output: %s has files in it: want a new folder, or remove it", dir)
	}
	if err := unpackExample(dir); err != nil {
		return err
	}
	w := c.App.Writer
	fmt.Fprintf(w, "A small model of a shop (%s) answers messages that it has not seen:\n", cfg.ModelNameOrPath)
	before, err := sitExam(c.Context, w, be, cfg, "")
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nTraining it to write a record instead, on %s:\n", cfg.Dataset)
	if err := trainAdapter(c, cfg); err != nil {
		return err
	}
	fmt.Fprintln(w, "\nThe same messages with the adapter:")
	after, err := sitExam(c.Context, w, be, cfg, cfg.OutputDir)
	if err != nil {
		return err
	}
	fmt.Fprintf(w, "\nright records of %d held-out messages: %d before, %d after (%.0f%%)\n",
		after.asked, before.right, after.right, 100*float64(after.right)/float64(after.asked))
	printTour(w, cfg)
	return nil
}

// quickstartConfig are the settings of the example. Its run.yaml has them all.
func quickstartConfig(dir string) train.Config {
	cfg := train.DefaultConfig()
	cfg.ModelNameOrPath = filepath.Join(dir, "model")
	cfg.Dataset = filepath.Join(dir, "train.jsonl")
	cfg.EvalDataset = filepath.Join(dir, "heldout.jsonl")
	cfg.OutputDir = filepath.Join(dir, "adapter")
	cfg.Blocks, cfg.LoraR, cfg.MaxLength = 4, 16, 96
	cfg.PerDeviceTrainBatchSize, cfg.GradientAccumulationSteps, cfg.PerDeviceEvalBatchSize = 16, 1, 16
	cfg.LearningRate, cfg.WarmupSteps, cfg.NumTrainEpochs = 5e-3, 10, 3
	cfg.LoggingSteps, cfg.SaveSteps = 25, 50
	return cfg
}

// unpackExample writes the embedded files into dir, where there are not yet any.
func unpackExample(dir string) error {
	return fs.WalkDir(example, "quickstart", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(strings.TrimPrefix(path, "quickstart/")))
		text, err := example.ReadFile(path)
		if err != nil {
			return err
		}
		return errors.Join(os.MkdirAll(filepath.Dir(target), 0o777), os.WriteFile(target, text, 0o666))
	})
}

// score is how an exam went.
type score struct{ asked, right int }

// shownAnswers is how many answers of an exam are printed.
const shownAnswers = 3

// sitExam has the held-out messages answered, greedily, and compares the answers with
// the rows', letter by letter. adapterDir may be empty.
func sitExam(ctx context.Context, w io.Writer, be kernels.Backend, cfg train.Config, adapterDir string) (score, error) {
	l, err := openFolders(cfg.ModelNameOrPath, adapterDir, model.BaseAuto)
	if err != nil {
		return score{}, err
	}
	defer l.Close()
	a, err := newAnswerer(be, l, false, "")
	if err != nil {
		return score{}, err
	}
	a.cfg.MaxNewTokens = 64 // twice the longest right answer
	file, err := os.Open(cfg.EvalDataset)
	if err != nil {
		return score{}, err
	}
	defer file.Close()
	var s score
	for row, err := range data.Rows(file.Name(), file, data.FormatAuto) {
		if err != nil {
			return score{}, err
		}
		question, want := examQuestion(row.Conversation())
		var got strings.Builder
		if err := a.answer(ctx, &got, question); err != nil {
			return score{}, err
		}
		answer := strings.TrimSpace(got.String())
		if s.asked < shownAnswers {
			fmt.Fprintf(w, "\n  > %s\n    %s\n", question, strings.ReplaceAll(answer, "\n", "\n    "))
		}
		s.asked++
		if answer == want {
			s.right++
		}
	}
	return s, nil
}

// examQuestion is the last question of a conversation and its answer.
func examQuestion(messages []chat.Message) (question, answer string) {
	last := len(messages) - 1
	return messages[last-1].Content, strings.TrimSpace(messages[last].Content)
}

// printTour says what is where, and what to type next.
func printTour(w io.Writer, cfg train.Config) {
	out := cfg.OutputDir
	fmt.Fprintf(w, `
adapter for PEFT     %s
shards for 4 ranks   %s
loss curve           %s
settings             %s

next: bdlora generate --adapter %s
      bdlora inspect %s
      bdlora train --config %s output_dir=another
`, filepath.Join(out, "adapter_model.safetensors"), bdlora.ShardsPath(out, cfg.Blocks), filepath.Join(out, train.CurveName),
		filepath.Join(out, train.ConfigName), out, out, filepath.Join(out, train.ConfigName))
}
