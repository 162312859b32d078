package main

import (
	"errors"
	"fmt"
	"math"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/data"
	"bdlora/train"
)

func evalCommand() *cli.Command {
	return &cli.Command{
		Name:  "eval",
		Usage: "take the loss of a model, with or without an adapter, on a dataset",
		Flags: append([]cli.Flag{
			modelFlag, adapterFlag, baseDtypeFlag, cacheDirFlag, threadsFlag,
			&cli.StringFlag{Name: "dataset", Usage: "JSON Lines `FILE`"},
			&cli.IntFlag{Name: "per_device_eval_batch_size", Aliases: []string{"batch_size"}, Value: 4, Usage: "rows at a time"},
		}, rowFlags()...),
		Action: evaluate,
	}
}

func evaluate(c *cli.Context) error {
	if err := errors.Join(arguments(c, 0, 0), required(c, "dataset")); err != nil {
		return err
	}
	be, l, err := open(c)
	if err != nil {
		return err
	}
	defer l.Close()
	encoder, err := data.OpenEncoder(l.model.Dir, rowConfig(c))
	if err != nil {
		return err
	}
	set, err := data.Load([]string{c.String("dataset")}, encoder)
	if err != nil {
		return err
	}
	if err := l.quantize(c, be.Threads()); err != nil {
		return err
	}
	e, err := train.NewEvaluator(be, l.model, l.trainable(be), set.Examples, c.Int("per_device_eval_batch_size"))
	if err != nil {
		return err
	}
	loss, trained, err := e.Loss(c.Context, nil)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.App.Writer, "loss: %.6f || perplexity: %.4f || rows: %s || tokens: %s\n",
		loss, math.Exp(loss), numbers.Thousands(len(set.Examples)), numbers.Thousands(trained))
	return nil
}
