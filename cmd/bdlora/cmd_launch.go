package main

import (
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/supervisor"
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
	s := supervisor.Config{
		Command: c.Args().Slice(), MaxRestarts: c.Int("max-restarts"), HangGrace: c.Duration("hang-grace"),
		Backoff: c.Duration("backoff"), Stdout: c.App.Writer, Stderr: c.App.ErrWriter, Final: final,
	}
	switch {
	case len(s.Command) == 0:
		return usagef("launch: got no command, want one behind --; see bdlora launch --help")
	case s.MaxRestarts < 0 || s.HangGrace <= 0 || s.Backoff < 0:
		return usagef("--max-restarts, --hang-grace and --backoff: got %d, %v and %v, want at least 0, more than 0 and at least 0",
			s.MaxRestarts, s.HangGrace, s.Backoff)
	}
	t, ok := findTraining(s.Command)
	if ok {
		s.Command = t.command
	}
	s.Reached = t.newest
	return supervisor.Run(c.Context, s)
}

// final reports whether a command that has ended with code would do so again; explained
// says that bdlora has said in it what is wrong.
func final(code int, explained bool) bool {
	if code == exitFailed { // bdlora's, or the launcher's own: a node that it did not reach
		return explained
	}
	return code == exitUsage || code == exitInterrupted
}

// training is a bdlora train or resume somewhere in a command.
type training struct {
	command   []string // to go on from the newest checkpoint
	outputDir string   // empty where its settings cannot be read on this machine
}

// findTraining looks for bdlora train or resume in command: other arguments may be of
// that name too, such as the folder to run in.
func findTraining(command []string) (training, bool) {
	for at := 1; at < len(command); at++ {
		if !strings.HasPrefix(filepath.Base(command[at-1]), "bdlora") {
			continue
		}
		switch args := command[at+1:]; command[at] {
		case "resume":
			return resumedBy(command, args), true
		case "train":
			return trainedBy(command, args), true
		}
	}
	return training{}, false
}

// resumedBy is the training of a command in which these are behind bdlora resume.
func resumedBy(command, args []string) training {
	t := training{command: command}
	if len(args) > 0 {
		t.outputDir = args[0]
	}
	return t
}

// trainedBy is the training of a command in which these are behind bdlora train.
func trainedBy(command, args []string) training {
	t := training{command: command}
	s, err := parseSettings(args)
	if err != nil || s.help {
		return t // the command will say so
	}
	cfg, err := train.ReadConfig(s.config, s.overrides)
	if err == nil {
		t.outputDir = cfg.OutputDir
	}
	if cfg.ResumeFromCheckpoint == "" && !slices.ContainsFunc(s.overrides, isResume) {
		t.command = append(slices.Clone(command), resumeKey+"="+train.ResumeAuto)
	}
	return t
}

// isResume reports whether a setting says what to resume from.
func isResume(override string) bool {
	key, _, _ := strings.Cut(override, "=")
	return strings.ReplaceAll(key, "-", "_") == resumeKey
}

// newest is the step of the newest checkpoint in the training's folder, -1 if there is
// none or the folder is not known.
func (t training) newest() int {
	if t.outputDir == "" {
		return -1
	}
	steps, err := train.CheckpointSteps(t.outputDir)
	if err != nil || len(steps) == 0 {
		return -1
	}
	return steps[0]
}
