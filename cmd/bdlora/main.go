// Command bdlora trains Block-Diagonal LoRA adapters for Llama-family models and
// exports them for tensor-parallel serving.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime/debug"
	"strings"

	"github.com/urfave/cli/v2"
	"golang.org/x/term"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/job"
	"bdlora/cmd/bdlora/supervisor"
	"bdlora/data"
	"bdlora/kernels/comm"
	"bdlora/train"
)

// What bdlora tells its caller.
const (
	exitDone        = 0
	exitFailed      = 1  // the input or the run was wrong
	exitUsage       = 2  // the command line was
	exitLost        = 75 // a process of the job is lost: start it again
	exitInterrupted = 130
)

func main() {
	os.Exit(run(context.Background(), os.Args, os.Stdin, os.Stdout, os.Stderr))
}

// run is the whole program but for the process around it.
func run(ctx context.Context, args []string, stdin io.Reader, stdout, stderr io.Writer) int {
	out := &checkedWriter{w: stdout}
	app := &cli.App{
		Name:      "bdlora",
		Usage:     "fine-tune Block-Diagonal LoRA adapters for Llama-family models",
		Reader:    stdin,
		Writer:    out,
		Version:   version(),
		ErrWriter: stderr,
		Commands: []*cli.Command{
			quickstartCommand(), trainCommand(), resumeCommand(), launchCommand(), evalCommand(), generateCommand(),
			exportCommand(), convertCommand(), verifyCommand(), planCommand(), inspectCommand(), dataCommand(),
			benchCommand(), serveBenchCommand(), distCommand(),
		},
		Action:         noCommand,
		OnUsageError:   usageOf,
		ExitErrHandler: func(*cli.Context, error) {}, // errors come back to run
	}
	returnUsageErrors(app.Commands)
	err := app.RunContext(ctx, args)
	if err == nil {
		err = out.err
	}
	if err == nil {
		return exitDone
	}
	if errors.Is(err, context.Canceled) {
		return exitInterrupted
	}
	if job.Said(err) {
		return exitFailed
	}
	here().WaitForFirst()
	report(stderr, err)
	var ended *supervisor.CommandError
	switch {
	case errors.As(err, new(usageError)):
		return exitUsage
	case errors.As(err, &ended):
		return ended.Code
	case errors.Is(err, comm.ErrPeerLost):
		return exitLost
	}
	return exitFailed
}

// report tells the user of an error, and the next thing to type.
func report(stderr io.Writer, err error) {
	fmt.Fprintln(stderr, "bdlora:", strings.TrimPrefix(err.Error(), "bdlora: ")) // a package has that name too
	if hint := hintFor(err); hint != "" {
		fmt.Fprintln(stderr, "hint:", hint)
	}
}

// version is that of the module, or of the commit that it was built from.
func version() string {
	info, ok := debug.ReadBuildInfo()
	if !ok || info.Main.Version == "" {
		return "unknown"
	}
	return info.Main.Version
}

// checkedWriter remembers the first error of w: what a command prints is its result,
// and has to arrive.
type checkedWriter struct {
	w   io.Writer
	err error
}

func (c *checkedWriter) Write(p []byte) (int, error) {
	n, err := c.w.Write(p)
	if c.err == nil {
		c.err = err
	}
	return n, err
}

// isTerminal reports whether what a command prints goes to a terminal.
func isTerminal(w io.Writer) bool {
	if checked, ok := w.(*checkedWriter); ok {
		w = checked.w
	}
	file, ok := w.(*os.File)
	return ok && term.IsTerminal(int(file.Fd()))
}

// noCommand is what happens without a command, or with one that there is none of.
func noCommand(c *cli.Context) error {
	if c.Args().Len() == 0 {
		return cli.ShowAppHelp(c)
	}
	return usagef("no command %q; see bdlora --help", c.Args().First())
}

// noSubcommand is what happens with a command that wants one of its own behind it.
func noSubcommand(c *cli.Context) error {
	if c.Args().Len() == 0 {
		return cli.ShowSubcommandHelp(c)
	}
	return usagef("no command %q; see %s --help", c.Args().First(), c.Command.HelpName)
}

// hintFor is the next thing to type, where an error has one.
func hintFor(err error) string {
	switch {
	case errors.Is(err, train.ErrOutputExists):
		return "go on with it by `bdlora resume DIR`, or choose another output_dir"
	case errors.Is(err, train.ErrOtherRun):
		return "to keep the adapter but not the run, start anew with init_adapter=DIR and another output_dir"
	case errors.Is(err, train.ErrDiverged):
		return "start anew with init_adapter=CHECKPOINT, a smaller learning_rate and another output_dir"
	case errors.Is(err, data.ErrRowTooLong):
		return "raise max_length, or set excess_length_strategy to drop or truncate"
	case errors.Is(err, job.ErrWithoutMPI):
		return "go install -tags mpi ./cmd/bdlora"
	case errors.Is(err, comm.ErrNoLibrary):
		return "on Debian: apt-get install openmpi-bin libopenmpi3; elsewhere name its file in " + mpiLibraryVariable
	case errors.Is(err, comm.ErrOtherLauncher):
		return "name the file of the launcher's library in " + mpiLibraryVariable + ", or use the launcher of this library"
	case errors.Is(err, job.ErrOtherSize):
		return "a launcher starts the processes: mpirun -n N bdlora …; `bdlora dist manifest` writes the whole command"
	case errors.Is(err, comm.ErrPeerLost):
		return "start the job again; where a process is only slow, with a longer collective_timeout"
	case errors.Is(err, bdlora.ErrNoAdapter):
		return "`bdlora inspect DIR` says what a folder holds"
	}
	return ""
}
