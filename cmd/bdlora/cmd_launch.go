package main

import (
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/train"
)

func launchCommand() *cli.Command {
	return &cli.Command{
		Name:      "launch",
		Usage:     "run mpirun, srun or another command, and start it again when it fails",
		ArgsUsage: "-- COMMAND [ARGUMENT]...",
		Description: "What COMMAND prints and the signals that arrive are passed on; its standard input is empty. It " +
			"is started again unless it ends with 0, 2 (usage) or 130 (interrupted), with 1 after bdlora " +
			"has said what is wrong, or after a signal to stop. When it has ended, whatever it started on " +
			"this machine is ended too. Behind `bdlora train` in COMMAND, launch writes " +
			resumeKey + "=" + train.ResumeAuto + ", so that every start goes on from the newest whole " +
			"checkpoint, unless the settings say where from. launch ends with COMMAND's last exit code, or " +
			"with 130 when it was stopped.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "max-restarts", Value: 3,
				Usage: "`K` restarts in a row at most; a start that leaves a newer checkpoint counts anew"},
			&cli.DurationFlag{Name: "hang-grace", Value: 30 * time.Second,
				Usage: "time that COMMAND has to end after one of its processes has said why it does"},
			&cli.DurationFlag{Name: "backoff", Value: time.Second,
				Usage: "wait before a restart, doubled each time up to a minute, anew after a newer checkpoint"},
		},
		Action: launch,
	}
}

// resumeKey is the setting that launch cares for.
const resumeKey = "resume_from_checkpoint"

func launch(c *cli.Context) error {
	s := &supervisor{
		command: c.Args().Slice(), maxRestarts: c.Int("max-restarts"), hangGrace: c.Duration("hang-grace"),
		backoff: c.Duration("backoff"), stdout: c.App.Writer, stderr: &sharedWriter{w: c.App.ErrWriter},
	}
	switch {
	case len(s.command) == 0:
		return usagef("launch: got no command, want one behind --; see bdlora launch --help")
	case s.maxRestarts < 0 || s.hangGrace <= 0 || s.backoff < 0:
		return usagef("--max-restarts, --hang-grace and --backoff: got %d, %v and %v, want at least 0, more than 0 and at least 0",
			s.maxRestarts, s.hangGrace, s.backoff)
	}
	if t, ok := findTraining(s.command); ok {
		s.command, s.outputDir = t.command, t.outputDir
	}
	signals := make(chan os.Signal, 8)
	signal.Notify(signals, passedOn...)
	defer signal.Stop(signals)
	s.signals = signals
	return s.run(c.Context)
}

// training is a bdlora train or resume somewhere in a command.
type training struct {
	command   []string // to go on from the newest checkpoint
	outputDir string   // empty where its settings cannot be read on this machine
}

// findTraining looks for bdlora train or resume in command.
func findTraining(command []string) (training, bool) {
	at := slices.IndexFunc(command, func(arg string) bool { return strings.HasPrefix(filepath.Base(arg), "bdlora") })
	if at < 0 || at+1 >= len(command) {
		return training{}, false
	}
	t := training{command: command}
	switch args := command[at+2:]; command[at+1] {
	case "resume":
		if len(args) > 0 {
			t.outputDir = args[0]
		}
		return t, true
	case "train":
		s, err := parseSettings(args)
		if err != nil || s.help {
			return t, true // the command will say so
		}
		cfg, err := train.ReadConfig(s.config, s.overrides)
		if err == nil {
			t.outputDir = cfg.OutputDir
		}
		if cfg.ResumeFromCheckpoint == "" && !slices.ContainsFunc(s.overrides, isResume) {
			t.command = append(slices.Clone(command), resumeKey+"="+train.ResumeAuto)
		}
		return t, true
	}
	return training{}, false
}

// isResume reports whether a setting says what to resume from.
func isResume(override string) bool {
	key, _, _ := strings.Cut(override, "=")
	return strings.ReplaceAll(key, "-", "_") == resumeKey
}

// newest is the step of the newest checkpoint in the training's folder, -1 if there is
// none or the folder is not known.
func (s *supervisor) newest() int {
	if s.outputDir == "" {
		return -1
	}
	steps, err := train.CheckpointSteps(s.outputDir)
	if err != nil || len(steps) == 0 {
		return -1
	}
	return steps[0]
}

// commandError is how a command ended that bdlora has run for its user. Its exit code
// is bdlora's then.
type commandError struct {
	command string
	end     ending
	starts  int
}

func (e *commandError) Error() string {
	return fmt.Sprintf("%s: start %d ended with %s, want 0", e.command, e.starts, e.end)
}
