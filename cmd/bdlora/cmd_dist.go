package main

import "github.com/urfave/cli/v2"

func distCommand() *cli.Command {
	return &cli.Command{
		Name:        "dist",
		Usage:       "train with many processes: commands for launchers",
		Subcommands: []*cli.Command{distCheckCommand(), distManifestCommand()},
		Action:      noSubcommand,
	}
}
