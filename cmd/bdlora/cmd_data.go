package main

import (
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"strconv"
	"strings"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/data"
	"bdlora/train"
)

func dataCommand() *cli.Command {
	flags := append([]cli.Flag{modelFlag}, rowFlags()...)
	return &cli.Command{
		Name:  "data",
		Usage: "check a dataset, or look at it as the trainer does",
		Subcommands: []*cli.Command{
			{
				Name: "validate", Usage: "report every bad row, and sum up the good ones",
				ArgsUsage: "FILE...", Flags: flags, Action: validateData,
			},
			{
				Name: "inspect", Usage: "show rows token by token, the trained ones marked",
				ArgsUsage: "FILE", Action: inspectData,
				Flags: append([]cli.Flag{
					&cli.IntFlag{Name: "row", Value: 1, Usage: "first row to show, counted from 1"},
					&cli.IntFlag{Name: "rows", Value: 1, Usage: "how many to show"},
				}, flags...),
			},
		},
		Action: noSubcommand,
	}
}

// rowFlags say how rows become examples, as the settings of the same names do.
func rowFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "dataset_format", Value: "auto", Usage: "layout of the rows"},
		&cli.IntFlag{Name: "max_length", Value: 1024, Usage: "longest row in tokens"},
		&cli.StringFlag{
			Name: "excess_length_strategy", Value: train.ExcessRaise, Usage: "for longer rows: raise, drop or truncate",
		},
		&cli.BoolFlag{Name: "train_on_prompt", Usage: "train every token, not the assistant's only"},
		&cli.BoolFlag{Name: "mask_history", Usage: "train the last turn of a conversation only"},
	}
}

// rowConfig is what rowFlags were set to.
func rowConfig(c *cli.Context) data.Config {
	cfg := train.DefaultConfig()
	cfg.DatasetFormat, cfg.MaxLength = c.String("dataset_format"), c.Int("max_length")
	cfg.ExcessLengthStrategy = c.String("excess_length_strategy")
	cfg.TrainOnPrompt, cfg.MaskHistory = c.Bool("train_on_prompt"), c.Bool("mask_history")
	return cfg.Data()
}

// encoderOf makes the encoder that the flags of a data command describe.
func encoderOf(c *cli.Context) (*data.Encoder, error) {
	if err := required(c, modelFlag.Name); err != nil {
		return nil, err
	}
	return data.OpenEncoder(c.String(modelFlag.Name), rowConfig(c))
}

func validateData(c *cli.Context) error {
	if err := arguments(c, 1, math.MaxInt); err != nil {
		return err
	}
	encoder, err := encoderOf(c)
	if err != nil {
		return err
	}
	set, err := data.Load(c.Args().Slice(), encoder)
	var bad data.RowErrors
	if errors.As(err, &bad) {
		for _, row := range bad {
			fmt.Fprintln(c.App.Writer, row)
		}
		return fmt.Errorf("%d bad rows", len(bad))
	}
	if err != nil {
		return err
	}
	tokens, trained, longest := 0, 0, 0
	for i := range set.Examples {
		tokens += len(set.Examples[i].Tokens)
		trained += set.Examples[i].TrainedTokens()
		longest = max(longest, len(set.Examples[i].Tokens))
	}
	fmt.Fprintf(c.App.Writer, "rows: %s || examples: %s || dropped: %s || truncated: %s\n", numbers.Thousands(set.Counts.Rows),
		numbers.Thousands(len(set.Examples)), numbers.Thousands(set.Counts.Dropped), numbers.Thousands(set.Counts.Truncated))
	fmt.Fprintf(c.App.Writer, "tokens: %s || trained: %s (%.1f%%) || longest example: %s || on a border, not trained: %s\n",
		numbers.Thousands(tokens), numbers.Thousands(trained), 100*float64(trained)/float64(tokens), numbers.Thousands(longest),
		numbers.Thousands(set.Counts.Straddling))
	return nil
}

func inspectData(c *cli.Context) error {
	first, count := c.Int("row"), c.Int("rows")
	if err := errors.Join(arguments(c, 1, 1), atLeast(c, 1, "row", "rows")); err != nil {
		return err
	}
	encoder, err := encoderOf(c)
	if err != nil {
		return err
	}
	file, err := os.Open(c.Args().First())
	if err != nil {
		return err
	}
	defer file.Close()
	at := 0
	for row, err := range data.Rows(file.Name(), file, rowConfig(c).Format) {
		at++
		if at < first {
			continue
		}
		if at >= first+count {
			break
		}
		if err != nil {
			return err
		}
		if err := showRow(c.App.Writer, encoder, row); err != nil {
			return err
		}
	}
	if at < first {
		return fmt.Errorf("%s: got %d rows, want at least %d", file.Name(), at, first)
	}
	return nil
}

// showRow writes a row's tokens: with colours on a terminal, else a line a token.
func showRow(w io.Writer, encoder *data.Encoder, row data.Row) error {
	samples, err := encoder.Inspect(row)
	if err != nil {
		return err
	}
	colour := isTerminal(w)
	for _, pieces := range samples {
		trained := 0
		for _, p := range pieces {
			if p.Trained {
				trained++
			}
		}
		fmt.Fprintf(w, "%s:%d: %d tokens, %d trained\n", row.File, row.Line, len(pieces), trained)
		if colour {
			showColours(w, pieces)
		} else {
			showLines(w, pieces)
		}
	}
	return nil
}

// showLines writes a token's id, whether it is trained, and its text.
func showLines(w io.Writer, pieces []data.MarkedToken) {
	for _, p := range pieces {
		mark := "prompt "
		if p.Trained {
			mark = "trained"
		}
		fmt.Fprintf(w, "%7d  %s  %s\n", p.ID, mark, strconv.Quote(p.Text))
	}
}

// showColours writes the text with trained tokens green, and a thin bar between
// tokens.
func showColours(w io.Writer, pieces []data.MarkedToken) {
	const grey, green, plain = "\x1b[90m", "\x1b[32m", "\x1b[0m"
	var b strings.Builder
	for _, p := range pieces {
		colour := grey
		if p.Trained {
			colour = green
		}
		b.WriteString(colour + p.Text + plain + "\u2502")
	}
	fmt.Fprintln(w, b.String())
}
