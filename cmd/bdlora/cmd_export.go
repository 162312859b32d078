package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/kernels"
)

func exportCommand() *cli.Command {
	return &cli.Command{
		Name:  "export",
		Usage: "write an adapter in the format that a server or library loads",
		Description: "peft     PEFT's files with packed blocks; PEFT from 0.19 on. Servers that know plain LoRA only take\n" +
			"         them without complaint and answer wrongly\n" +
			"dense    the same with the zeros filled in: plain LoRA for every server\n" +
			"vllm     for vLLM with --block_diagonal_sharded_loras: the packed blocks, with zeros in them up to a rank that it\n" +
			"         can be started with\n" +
			"shards   one file a tensor-parallel rank, as it was trained\n" +
			"merged   the whole model with the adapter added to its weights: to those of its files, whatever\n" +
			"         base_dtype the adapter was trained on",
		Flags: []cli.Flag{
			modelFlag, adapterFlag, threadsFlag,
			&cli.StringFlag{Name: "format", Aliases: []string{"f"}, Usage: strings.Join(exportFormats(), ", ")},
			&cli.StringFlag{Name: "output", Aliases: []string{"o"}, Usage: "`DIR` to write"},
		},
		Action: export,
	}
}

// exportFormats are the values of --format.
func exportFormats() []string { return []string{"peft", "dense", "vllm", "shards", "merged"} }

func export(c *cli.Context) error {
	if err := errors.Join(arguments(c, 0, 0), required(c, "format", "output", adapterFlag.Name)); err != nil {
		return err
	}
	format, output := c.String("format"), c.String("output")
	if !slices.Contains(exportFormats(), format) {
		return usagef("--format: got %q, want one of %s", format, strings.Join(exportFormats(), ", "))
	}
	if err := newFolder(output); err != nil {
		return err
	}
	be, l, err := open(c)
	if err != nil {
		return err
	}
	defer l.Close()
	if format == "vllm" {
		if _, err := bdlora.VLLMRank(l.adapter.Plan); err != nil {
			return err
		}
	}
	note, err := l.export(be, format, output)
	if err != nil {
		return fmt.Errorf("%s: %w", output, err)
	}
	fmt.Fprintf(c.App.Writer, "%s: %s\n%s\n", output, l.adapter.Plan, note)
	return nil
}

// export writes the adapter and returns what there is to know of the files.
func (l *loaded) export(be kernels.Backend, format, output string) (note string, err error) {
	switch format {
	case "peft":
		note = "for PEFT from 0.19 on, and servers that know use_bdlora"
		if l.adapter.Plan.Shards() > 1 {
			note += "; any other loads these files and answers wrongly: give it --format dense"
		}
		return note, l.adapter.SavePEFT(output)
	case "dense":
		return "as plain LoRA of the same rank, for every server", l.adapter.SaveDense(output)
	case "vllm":
		rank, err := l.adapter.SaveVLLM(output)
		note = fmt.Sprintf("rank %d in it; serve it by:\n%s", rank, bdlora.VLLMCommand(l.adapter.Plan, rank, output))
		return note, err
	case "shards":
		return "one file a rank, in " + bdlora.ShardsPath(output, l.adapter.Plan.Shards()), l.adapter.SaveShards(output)
	}
	merged, err := bdlora.SaveMerged(be, output, l.model.Dir, l.adapter)
	note = fmt.Sprintf("merged into %d weights, by up to %.3g; rounded to their dtype by up to %.3g",
		merged.Modules, merged.MaxDelta, merged.MaxRounding)
	return note, err
}
