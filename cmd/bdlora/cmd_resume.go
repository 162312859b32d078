package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/urfave/cli/v2"

	"bdlora/train"
)

func resumeCommand() *cli.Command {
	return &cli.Command{
		Name:      "resume",
		Usage:     "go on with a run that was stopped, from its newest whole checkpoint",
		ArgsUsage: "DIR [key=value | --key value]...",
		Description: "DIR is the output folder of the run, or one of its checkpoints. What is trained may not " +
			"change; settings such as threads, save_steps and logging_steps may.",
		SkipFlagParsing: true,
		Action: func(c *cli.Context) error {
			args := c.Args().Slice()
			if len(args) == 0 {
				return usagef("resume: got no folder, want that of a run or of a checkpoint")
			}
			s, err := parseSettings(args[1:])
			if err != nil {
				return err
			}
			if args[0] == "-h" || args[0] == "--help" || s.help {
				return cli.ShowSubcommandHelp(c)
			}
			cfg, err := resumedConfig(args[0], s)
			if err != nil {
				return err
			}
			return trainAdapter(c, cfg)
		},
	}
}

// resumedConfig is the settings of the run in dir, which is its output folder or a
// checkpoint in it, to go on from there.
func resumedConfig(dir string, s settings) (train.Config, error) {
	if s.config != "" {
		return train.Config{}, usagef("resume: got --config %s, want the settings of the run alone", s.config)
	}
	overrides := append(s.overrides, "resume_from_checkpoint="+train.ResumeAuto, "output_dir="+dir)
	if _, err := os.Stat(filepath.Join(dir, train.ManifestName)); err == nil {
		overrides = append(s.overrides, "resume_from_checkpoint="+dir, "output_dir="+filepath.Dir(filepath.Clean(dir)))
	} else if steps, err := train.CheckpointSteps(dir); err != nil || len(steps) == 0 {
		return train.Config{}, errors.Join(err, fmt.Errorf("%s: %w", dir, train.ErrNoCheckpoint))
	}
	return train.ReadConfig(filepath.Join(dir, train.ConfigName), overrides)
}
