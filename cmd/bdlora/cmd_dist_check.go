package main

import (
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/urfave/cli/v2"
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
	if err := arguments(c, 0, 0); err != nil {
		return err
	}
	for _, name := range []string{"tensor_parallel_size", "data_parallel_size", threadsFlag.Name} {
		if n := c.Int(name); n < 0 {
			return usagef("--%s: got %d, want at least 0", name, n)
		}
	}
	if c.Duration("timeout") <= 0 {
		return usagef("--timeout: got %v, want more than 0", c.Duration("timeout"))
	}
	check, err := newSetup(c)
	if err != nil {
		return err
	}
	if check.Proc() == 0 {
		check.print(c.App.Writer)
	}
	problems := len(check.problems)
	if err := errors.Join(check.Barrier(), check.Close()); err != nil || problems == 0 {
		return err
	}
	return check.place.other(fmt.Errorf("dist check: number of problems is %d, want 0", problems))
}

// print writes what was found.
func (s *setup) print(w io.Writer) {
	if s.place.launcher == "" {
		fmt.Fprintln(w, "launcher: none; behind one, this command looks at the processes: mpirun -n 2 bdlora dist check")
	} else {
		fmt.Fprintf(w, "launcher: %s\n", s.place.launcher)
	}
	if s.library.File != "" {
		fmt.Fprintf(w, "library: %s: %s, with the %s\n", s.library.File, s.library.Version, s.library.ABI)
	}
	s.printProcesses(w)
	for _, sum := range s.sums {
		if s.Procs() > 1 {
			bits := map[bool]string{true: "the same bits on all processes", false: "not the same bits"}[sum.same]
			took := time.Duration(1e9 * sum.seconds).Round(100 * time.Nanosecond)
			fmt.Fprintf(w, "all-reduce of %d KiB: %v, %s\n", sum.bytes>>10, took, bits)
		}
	}
	for _, p := range s.problems {
		fmt.Fprintf(w, "problem: %s\n  hint: %s\n", p.what, p.hint)
	}
	if len(s.problems) == 0 {
		fmt.Fprintln(w, "no problem found")
	}
}

func (s *setup) printProcesses(w io.Writer) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "process\treplica\tshard\thost\tpid\tthreads\tcores")
	shards := max(s.shards, 1)
	for proc, p := range s.processes {
		fmt.Fprintf(table, "%d\t%d\t%d\t%s\t%d\t%d\t%s\n",
			proc, proc/shards, proc%shards, p.Host, p.PID, p.Threads, coreList(p.Cores))
	}
	table.Flush()
}

// coreList is "0-3,8".
func coreList(cores []int) string {
	var parts []string
	for i := 0; i < len(cores); {
		end := i + 1
		for end < len(cores) && cores[end] == cores[end-1]+1 {
			end++
		}
		if end-i == 1 {
			parts = append(parts, strconv.Itoa(cores[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", cores[i], cores[end-1]))
		}
		i = end
	}
	return strings.Join(parts, ",")
}
