package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/urfave/cli/v2"

	"bdlora/model"
)

// Flags that several commands share.
var (
	modelFlag = &cli.StringFlag{
		Name: "model", Aliases: []string{"model_name_or_path", "m"}, Usage: "`DIR` of the base model, in Hugging Face's layout",
	}
	adapterFlag = &cli.StringFlag{
		Name: "adapter", Aliases: []string{"a"},
		Usage: "`DIR` of an adapter: PEFT's files, shards, a checkpoint or a run's output",
	}
	baseDtypeFlag = &cli.StringFlag{
		Name: "base_dtype", Value: string(model.BaseAuto),
		Usage: "how to hold the weights of the layers' linears: auto, as in the model's files, int8 or nf4",
	}
	cacheDirFlag = &cli.StringFlag{
		Name: "cache_dir", Usage: "`DIR` that keeps a base in 8 or 4 bits for the next start; default is bdlora in the user's cache folder",
	}
	threadsFlag = &cli.IntFlag{Name: "threads", Usage: "processor cores to use; 0 is all"}
)

// usageError is a mistake in the command line.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// arguments checks that there are as many as wanted, and no flags among them, which
// come before.
func arguments(c *cli.Context, least, most int) error {
	for _, arg := range c.Args().Slice() {
		if strings.HasPrefix(arg, "-") {
			return usagef("%s: flags come before the arguments: bdlora %s %s …", arg, c.Command.FullName(), arg)
		}
	}
	if n := c.Args().Len(); n < least || n > most {
		if most == 0 {
			return usagef("argument %q: want flags only; see bdlora %s --help", c.Args().First(), c.Command.FullName())
		}
		want := fmt.Sprint(least)
		if most > least {
			want = fmt.Sprintf("at least %d", least)
		}
		return usagef("number of arguments is %d, want %s; see bdlora %s --help", n, want, c.Command.FullName())
	}
	return nil
}

// required reports the flags among names that the command line lacks.
func required(c *cli.Context, names ...string) error {
	var errs []error
	for _, name := range names {
		if c.String(name) == "" {
			errs = append(errs, usagef("--%s: got nothing; see bdlora %s --help", name, c.Command.FullName()))
		}
	}
	return errors.Join(errs...)
}

// eitherModel reports that --model and --shape are both there, or neither.
func eitherModel(c *cli.Context) error {
	dir, shape := c.String("model"), c.String("shape")
	if (dir == "") == (shape == "") {
		return usagef("--model and --shape: got %q and %q, want one of them", dir, shape)
	}
	return nil
}

// atLeast reports the flags among names that are below least.
func atLeast(c *cli.Context, least int, names ...string) error {
	var errs []error
	for _, name := range names {
		if n := c.Int(name); n < least {
			errs = append(errs, usagef("--%s: got %d, want at least %d", name, n, least))
		}
	}
	return errors.Join(errs...)
}

func usageOf(_ *cli.Context, err error, _ bool) error { return usageError{err} }

// returnUsageErrors has commands, and those below them, return mistakes in their flags.
func returnUsageErrors(commands []*cli.Command) {
	for _, c := range commands {
		c.OnUsageError = usageOf
		returnUsageErrors(c.Subcommands)
	}
}
