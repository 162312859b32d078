package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
)

func convertCommand() *cli.Command {
	return &cli.Command{
		Name:  "convert",
		Usage: "cut an adapter into another number of blocks, or give it another rank",
		Description: "Writes PEFT's files. Without --lora_r the new adapter computes the same: blocks are joined with\n" +
			"zeros around them where the new number divides the old, and the rank grows where it does not. Plain LoRA is\n" +
			"one block. A larger --lora_r pads with zeros inside the blocks, for servers that want a certain rank. A smaller\n" +
			"one keeps the largest singular values of each block of ΔW = s·B·A; how far that is from the old ΔW,\n" +
			"‖ΔW' − ΔW‖/‖ΔW‖ in the Frobenius norm, is printed, and refused above --max_error.",
		Flags: []cli.Flag{
			modelFlag, adapterFlag,
			&cli.IntFlag{Name: "nblocks", Aliases: []string{"tp_degree"}, Usage: "shards that will serve it; 0 is as many as now"},
			&cli.IntFlag{Name: "lora_r", Aliases: []string{"r", "lora_rank"},
				Usage: "rank of every linear, over all blocks; 0 is the least that loses nothing"},
			&cli.Float64Flag{Name: "max_error", Value: 0.01, Usage: "relative error of a linear's ΔW to accept; 1 accepts any"},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`DIR` to write"},
		},
		Action: convert,
	}
}

func convert(c *cli.Context) error {
	if err := errors.Join(arguments(c, 0, 0), required(c, "output", adapterFlag.Name), atLeast(c, 0, "nblocks", "lora_r")); err != nil {
		return err
	}
	output, limit := c.String("output"), c.Float64("max_error")
	if !(limit >= 0 && limit <= 1) {
		return usagef("--max_error: got %g, want at least 0 and at most 1", limit)
	}
	if err := newFolder(output); err != nil {
		return err
	}
	l, err := loadFolders(c)
	if err != nil {
		return err
	}
	defer l.Close()
	blocks := c.Int("nblocks")
	if blocks == 0 {
		blocks = l.adapter.Plan.Shards()
	}
	converted, losses, err := bdlora.Convert(l.adapter, blocks, c.Int("lora_r"))
	if err != nil {
		return err
	}
	w := c.App.Writer
	fmt.Fprintf(w, "from: %s\nto:   %s\n", l.adapter.Plan, converted.Plan)
	if err := printLosses(w, losses); err != nil {
		return err
	}
	if err := checkLosses(l.adapter.Plan, blocks, losses, limit); err != nil {
		return err
	}
	if err := converted.SavePEFT(output); err != nil {
		return fmt.Errorf("%s: %w", output, err)
	}
	_, err = fmt.Fprintf(w, "%s: written\n", output)
	return err
}

// newFolder checks that --output is absent or empty.
func newFolder(dir string) error {
	switch entries, err := os.ReadDir(dir); {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return fmt.Errorf("--output: %w, want a new or empty folder", err)
	case len(entries) > 0:
		return fmt.Errorf("--output: %s has files in it, want a new or empty folder", dir)
	}
	return nil
}

// lossRow is what all layers lost of one linear.
type lossRow struct {
	linear     string
	layers     int
	sum        float64
	largest    float64
	largestsAt int // layer
}

// lossRows adds up losses by linear, in the order of their first.
func lossRows(losses []bdlora.Loss) []lossRow {
	var rows []lossRow
	at := make(map[string]int)
	for _, l := range losses {
		i, known := at[l.Module.Linear.Name]
		if !known {
			i = len(rows)
			at[l.Module.Linear.Name] = i
			rows = append(rows, lossRow{linear: l.Module.Linear.Name, largestsAt: l.Module.Layer})
		}
		r := &rows[i]
		r.layers++
		r.sum += l.Error
		if l.Error > r.largest {
			r.largest, r.largestsAt = l.Error, l.Module.Layer
		}
	}
	return rows
}

// printLosses writes a line for each linear that lost something.
func printLosses(w io.Writer, losses []bdlora.Loss) error {
	if largestLoss(losses).Error == 0 {
		_, err := fmt.Fprintln(w, "exact: every ΔW is the same")
		return err
	}
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "linear\tlayers\terror of ΔW: mean\tlargest\tin layer")
	for _, r := range lossRows(losses) {
		fmt.Fprintf(table, "%s\t%d\t%.3g\t%.3g\t%d\n", r.linear, r.layers, r.sum/float64(r.layers), r.largest, r.largestsAt)
	}
	return table.Flush()
}

// largestLoss is the loss of the largest error.
func largestLoss(losses []bdlora.Loss) bdlora.Loss {
	largest := losses[0]
	for _, l := range losses {
		if l.Error > largest.Error {
			largest = l
		}
	}
	return largest
}

// checkLosses refuses an error above the limit, and says which rank has none.
func checkLosses(from *bdlora.Plan, blocks int, losses []bdlora.Loss, limit float64) error {
	largest := largestLoss(losses)
	if largest.Error <= limit {
		return nil
	}
	exact, err := bdlora.RecutPlan(from, blocks)
	if err != nil {
		return err
	}
	rank := 0
	for _, m := range exact.Modules {
		rank = max(rank, m.Rank)
	}
	return fmt.Errorf("--max_error: the ΔW of %s would be off by %.3g, want at most %g; nothing is lost with --lora_r %d",
		largest.Module.Path(), largest.Error, limit, rank)
}
