package main

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"os/signal"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/progress"
	"bdlora/cmd/bdlora/supervisor"
	"bdlora/kernels"
	"bdlora/kernels/cpu"
	"bdlora/model"
	"bdlora/train"
)

func trainCommand() *cli.Command {
	return &cli.Command{
		Name:            "train",
		Usage:           "train an adapter",
		ArgsUsage:       "[--config run.yaml] [key=value | --key value]...",
		Description:     settingsHelp(),
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			s, err := parseSettings(c.Args().Slice())
			if err != nil {
				return err
			}
			if s.help {
				return cli.ShowSubcommandHelp(c)
			}
			cfg, err := train.ReadConfig(s.config, s.overrides)
			if err != nil {
				return err
			}
			return trainAdapter(c, cfg)
		},
	}
}

// trainAdapter runs cfg, as one of the processes that it asks for, and shows how it goes.
// The user may stop it between two steps; the error is context.Canceled then.
func trainAdapter(c *cli.Context, cfg train.Config) (err error) {
	if cfg.CacheDir, err = cacheDir(cfg.CacheDir, model.BaseDtype(cfg.BaseDtype)); err != nil {
		return err
	}
	timeout := time.Duration(cfg.CollectiveTimeout) * time.Second
	w, err := openWorld(cfg.TensorParallelSize*cfg.DataParallelSize, timeout, "", c.App.ErrWriter)
	if err != nil {
		return err
	}
	out := io.Discard
	if w.Proc() == 0 {
		out = c.App.ErrWriter
	}
	ctx, forget := stoppable(c.Context, out)
	defer forget()
	be := cpu.New(cmp.Or(cfg.Threads, w.Processes[w.Proc()].Threads))
	be.SetPrecision(kernels.Precision(cfg.Float32MatmulPrecision))
	done, err := train.Run(ctx, cfg, be, w, progress.New(out))
	if err := w.Leave(err); err != nil {
		return err
	}
	if done.Reason == train.Interrupted {
		fmt.Fprintf(out, "to go on: bdlora resume %s\n", cfg.OutputDir)
		return context.Canceled
	}
	return nil
}

// stoppable is a context that a signal ends. A second one ends the program at once.
func stoppable(parent context.Context, out io.Writer) (ctx context.Context, forget func()) {
	ctx, stop := signal.NotifyContext(parent, supervisor.StopSignals()...)
	silence := context.AfterFunc(ctx, func() {
		stop()
		fmt.Fprintln(out, "\nfinishing the step; Ctrl-C again stops at once")
	})
	return ctx, func() {
		silence()
		stop()
	}
}

// settings is a command line of settings: a file, and what goes over it.
type settings struct {
	config    string
	overrides []string // key=value
	help      bool
}

// parseSettings reads --config FILE, key=value, --key=value and --key value.
func parseSettings(args []string) (s settings, err error) {
	for len(args) > 0 {
		arg := args[0]
		args = args[1:]
		key, value, hasValue := strings.Cut(strings.TrimLeft(arg, "-"), "=")
		switch {
		case arg == "-h" || arg == "--help" || arg == "help":
			s.help = true
			continue
		case !strings.HasPrefix(arg, "-") && !hasValue:
			return s, usagef("argument %q: want key=value, --key value or --config FILE", arg)
		case strings.HasPrefix(arg, "-") && !hasValue:
			switch {
			case isSwitch(key) && (len(args) == 0 || strings.HasPrefix(args[0], "-")):
				value = "true"
			case len(args) == 0 || strings.HasPrefix(args[0], "--"):
				return s, usagef("%s: got no value behind it", arg)
			default:
				value, args = args[0], args[1:]
			}
		}
		if slices.Contains([]string{"config", "c"}, key) && strings.HasPrefix(arg, "-") {
			if s.config != "" {
				return s, usagef("--config: got %s and %s, want one file", s.config, value)
			}
			s.config = value
			continue
		}
		s.overrides = append(s.overrides, key+"="+value)
	}
	return s, nil
}

// isSwitch reports whether a setting is on or off, so that its name alone is enough.
func isSwitch(key string) bool {
	key = strings.ReplaceAll(key, "-", "_")
	return slices.ContainsFunc(train.Settings(), func(s train.Setting) bool {
		return s.Switch && (s.Key == key || slices.Contains(s.Aliases, key))
	})
}

// settingsHelp lists the settings with their defaults.
func settingsHelp() string {
	var b strings.Builder
	b.WriteString("Settings come from the file, and over it from the command line.\n")
	for _, s := range train.Settings() {
		also := ""
		if len(s.Aliases) > 0 {
			also = fmt.Sprintf(" (also %s)", strings.Join(s.Aliases, ", "))
		}
		fmt.Fprintf(&b, "\n%s\n", wrapped(s.Key+also+" "+s.Doc, 84))
	}
	return b.String()
}

// wrapped breaks text into lines of up to width letters, all but the first indented.
func wrapped(text string, width int) string {
	var b strings.Builder
	column := 0
	for i, word := range strings.Fields(text) {
		switch {
		case i == 0:
		case column+1+len(word) > width:
			b.WriteString("\n   ")
			column = 3
		default:
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	return b.String()
}
