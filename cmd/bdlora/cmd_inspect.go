package main

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/numbers"
	"bdlora/data/safetensors"
	"bdlora/model"
	"bdlora/train"
)

func inspectCommand() *cli.Command {
	return &cli.Command{
		Name:      "inspect",
		Usage:     "say what a file or folder is: a model, an adapter, a checkpoint, a safetensors file",
		ArgsUsage: "FILE|DIR",
		Action: func(c *cli.Context) error {
			if err := arguments(c, 1, 1); err != nil {
				return err
			}
			return inspect(c.App.Writer, c.Args().First())
		},
	}
}

func inspect(w io.Writer, path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return inspectTensors(w, path)
	}
	known := false
	for _, look := range []func(io.Writer, string) (bool, error){inspectCheckpoint, inspectAdapter, inspectModel} {
		found, err := look(w, path)
		if err != nil {
			return err
		}
		known = known || found
	}
	if !known {
		return fmt.Errorf("%s: got no model, adapter or checkpoint in it", path)
	}
	return nil
}

// inspectTensors lists a safetensors file.
func inspectTensors(w io.Writer, path string) error {
	f, err := safetensors.Open(path)
	if errors.Is(err, safetensors.ErrFormat) {
		return fmt.Errorf("%w; want a safetensors file, or the folder of a model, an adapter or a run", err)
	}
	if err != nil {
		return err
	}
	defer f.Close()
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	elements, size := int64(0), int64(0)
	for _, t := range f.Tensors() {
		fmt.Fprintf(table, "%s\t%s\t%v\n", t.Name, t.Dtype, t.Shape)
		elements += int64(t.Elements())
		size += int64(len(t.Bytes()))
	}
	table.Flush()
	for _, key := range slices.Sorted(maps.Keys(f.Metadata())) {
		fmt.Fprintf(w, "metadata: %s: %s\n", key, f.Metadata()[key])
	}
	_, err = fmt.Fprintf(w, "%d tensors, %s numbers, %s\n", len(f.Tensors()), numbers.Thousands(elements), numbers.Mebibytes(size))
	return err
}

// inspectCheckpoint verifies a checkpoint and says where its run stands; in a run's
// output folder it does so for all that are there.
func inspectCheckpoint(w io.Writer, dir string) (found bool, err error) {
	dirs := []string{dir}
	if _, err := os.Stat(filepath.Join(dir, train.ManifestName)); err != nil {
		steps, err := train.CheckpointSteps(dir)
		if err != nil {
			return false, err
		}
		dirs = dirs[:0]
		for _, step := range steps {
			dirs = append(dirs, train.CheckpointPath(dir, step))
		}
	}
	var broken []error
	for _, dir := range dirs {
		c, err := train.OpenCheckpoint(dir)
		if err != nil {
			broken = append(broken, err)
			continue
		}
		fmt.Fprintf(w, "checkpoint: %s: step %d of %d, epoch %.2f, %s tokens seen; every file is as it was written\n",
			dir, c.State.GlobalStep, c.State.MaxSteps, c.State.Epoch, numbers.Thousands(c.State.TokensSeen))
	}
	return len(dirs) > 0, errors.Join(broken...)
}

// inspectAdapter describes an adapter, whose base model has to be where its files
// say.
func inspectAdapter(w io.Writer, dir string) (found bool, err error) {
	folder, kind, err := bdlora.Find(dir)
	if errors.Is(err, bdlora.ErrNoAdapter) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	base, err := bdlora.BaseOf(dir)
	if err != nil {
		return true, err
	}
	fmt.Fprintf(w, "adapter: %s: in %s, for %s\n", folder, kind, base)
	c, err := model.ReadConfig(base)
	if err != nil {
		fmt.Fprintf(w, "adapter: its base model cannot be read: %v\n", err)
		return true, nil
	}
	a, err := bdlora.Open(dir, c.Base(base))
	if err != nil {
		return true, err
	}
	printPlan(w, a.Plan)
	return true, nil
}

// inspectModel describes a model folder.
func inspectModel(w io.Writer, dir string) (found bool, err error) {
	if _, err := os.Stat(filepath.Join(dir, "config.json")); err != nil {
		return false, nil
	}
	m, err := model.Load(dir)
	if err != nil {
		return true, err
	}
	defer m.Close()
	c := m.Config
	fmt.Fprintf(w, "model: %s: Llama of %s parameters, %s of weights\n", dir, numbers.Thousands(c.Params()), numbers.Mebibytes(m.WeightBytes()))
	_, err = fmt.Fprintf(w, "model: %d layers, hidden %d, intermediate %d, %d heads of %d, %d key-value heads, "+
		"vocabulary %d, up to %s positions\n", c.Layers, c.Hidden, c.Intermediate, c.Heads, c.HeadDim, c.KVHeads, c.Vocab, numbers.Thousands(c.MaxSeqLen))
	return true, err
}
