package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/setup"
)

func distCheckCommand() *cli.Command {
	return &cli.Command{
		Name:  "check",
		Usage: "say what is wrong with a set-up of many processes",
		Description: "Behind a launcher (mpirun -n 4 bdlora dist check) it shows the processes and tries a sum among\n" +
			"them; alone, which MPI library there is. It ends with 0 only when nothing is wrong.",
		Flags: []cli.Flag{
			&cli.IntFlag{Name: "tensor_parallel_size", Usage: "`N` processes share a model; 0 is not checked"},
			&cli.IntFlag{Name: "data_parallel_size", Usage: "`R` copies of the model; 0 is not checked"},
			&cli.IntFlag{Name: threadsFlag.Name, Usage: "threads of each process; 0 is its share of the cores"},
			&cli.StringFlag{Name: "library",
				Usage: "`FILE` of the MPI library; default is $" + mpiLibraryVariable + ", or the launcher's"},
			&cli.DurationFlag{Name: "timeout", Value: time.Minute, Usage: "of each exchange"},
		},
		Action: distCheck,
	}
}

func distCheck(c *cli.Context) error {
	counts := atLeast(c, 0, "tensor_parallel_size", "data_parallel_size", threadsFlag.Name)
	if err := errors.Join(arguments(c, 0, 0), counts); err != nil {
		return err
	}
	if c.Duration("timeout") <= 0 {
		return usagef("--timeout: got %v, want more than 0", c.Duration("timeout"))
	}
	w, err := openWorld(here().Procs, c.Duration("timeout"), c.String("library"), c.App.ErrWriter)
	if err != nil {
		return err
	}
	check := &setup.Setup{
		World: w, Shards: c.Int("tensor_parallel_size"), Replicas: c.Int("data_parallel_size"), Threads: c.Int(threadsFlag.Name),
	}
	if w.Procs() == 1 {
		if w.Library, err = w.Place.FindLibrary(mpiLibrary(c.String("library"))); err != nil {
			check.Wrong(hintFor(err), "%v", err)
		}
	}
	if err := check.Check(); err != nil {
		return err
	}
	if check.Proc() == 0 {
		printSetup(c.App.Writer, check)
	}
	problems := len(check.Problems)
	if err := errors.Join(check.Barrier(), check.Close()); err != nil || problems == 0 {
		return err
	}
	return w.Place.Shared(fmt.Errorf("dist check: number of problems is %d, want 0", problems))
}

// printSetup writes what was found.
func printSetup(w io.Writer, s *setup.Setup) {
	if s.Place.Launcher == "" {
		fmt.Fprintln(w, "launcher: none; behind one, this command looks at the processes: mpirun -n 2 bdlora dist check")
	} else {
		fmt.Fprintf(w, "launcher: %s\n", s.Place.Launcher)
	}
	if s.Library.File != "" {
		fmt.Fprintf(w, "library: %s: %s, with the %s\n", s.Library.File, s.Library.Version, s.Library.ABI)
	}
	printProcesses(w, s)
	for _, sum := range s.Sums {
		if s.Procs() > 1 {
			bits := map[bool]string{true: "the same bits on all processes", false: "not the same bits"}[sum.Same]
			took := time.Duration(1e9 * sum.Seconds).Round(100 * time.Nanosecond)
			fmt.Fprintf(w, "all-reduce of %d KiB: %v, %s\n", sum.Bytes>>10, took, bits)
		}
	}
	for _, p := range s.Problems {
		fmt.Fprintf(w, "problem: %s\n  hint: %s\n", p.What, p.Hint)
	}
	if len(s.Problems) == 0 {
		fmt.Fprintln(w, "no problem found")
	}
}

// printProcesses writes a line a process.
func printProcesses(w io.Writer, s *setup.Setup) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "process\treplica\tshard\thost\tpid\tthreads\tcores")
	shards := max(s.Shards, 1)
	for proc, p := range s.Processes {
		fmt.Fprintf(table, "%d\t%d\t%d\t%s\t%d\t%d\t%s\n",
			proc, proc/shards, proc%shards, p.Host, p.PID, p.Threads, p.Cores)
	}
	table.Flush()
}
