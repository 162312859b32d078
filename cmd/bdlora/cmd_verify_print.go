package main

import (
	"fmt"
	"io"
	"strings"
	"text/tabwriter"

	"bdlora/bdlora"
	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels/comm"
)

// print writes what was compared, a line a layer, and the ledger of a process.
func (v *verification) print(w io.Writer, p part) error {
	from := "cut from the adapter"
	if v.dir != "" {
		from = "each read alone from " + v.dir
	}
	fmt.Fprintf(w, "%s\n%d tokens through 1 process, and through %d with their shards %s\n\n",
		v.adapter.Plan, len(v.batch.Tokens), v.procs, from)
	printOutputs(w, p)
	if p.Grads != nil {
		printGradients(w, p)
	}
	far, where := p.Largest()
	fmt.Fprintf(w, "loss: %.1g\nlargest of all: %.1g, %s; up to %g passes\n\n", p.Loss, far, where, v.tolerance)
	return printLedger(w, &p.ledger, v.procs)
}

// printOutputs writes how far each half-layer's output is off.
func printOutputs(w io.Writer, p part) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "largest difference\tself_attn\tmlp")
	for i := 0; i < len(p.Outs); i += 2 {
		fmt.Fprintf(table, "layer %d\t%.1g\t%.1g\n", i/2, p.Outs[i], p.Outs[i+1])
	}
	table.Flush()
	fmt.Fprintln(w)
}

// printGradients writes how far the gradients of each factor are off: a line a layer, a
// pair of columns a linear.
func printGradients(w io.Writer, p part) {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprint(table, "gradients")
	linears := p.Plan.Base.Linears
	for _, l := range linears {
		name := strings.TrimSuffix(l.Name[strings.LastIndexByte(l.Name, '.')+1:], "_proj")
		fmt.Fprintf(table, "\t%s A\tB", name)
	}
	at := map[string][2]float64{}
	for k, m := range p.Plan.Modules {
		at[m.Path()] = p.Grads[k]
	}
	for layer := range p.Plan.Base.Layers {
		fmt.Fprintf(table, "\nlayer %d", layer)
		for _, l := range linears {
			grads, adapted := at[bdlora.Module{Layer: layer, Linear: l}.Path()]
			if !adapted {
				fmt.Fprint(table, "\t-\t-")
				continue
			}
			fmt.Fprintf(table, "\t%.0e\t%.0e", grads[0], grads[1])
		}
	}
	fmt.Fprint(table, "\n\n")
	table.Flush()
}

// printLedger writes what a process exchanged for the base model and for the adapter,
// also that it was nothing.
func printLedger(w io.Writer, ledger *comm.Ledger, procs int) error {
	fmt.Fprintf(w, "exchanged by one of %d processes:\n", procs)
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "for\tcollective\tcalls\tbytes")
	for _, why := range []comm.Purpose{comm.Base, comm.Adapter} {
		for kind := comm.AllReduce; kind <= comm.Barrier; kind++ {
			if e := ledger.Of(why, kind); e.Calls > 0 {
				fmt.Fprintf(table, "%s\t%s\t%s\t%s\n", why, kind, numbers.Thousands(e.Calls), numbers.Thousands(e.Payload))
			}
		}
		if ledger.Total(why).Calls == 0 {
			fmt.Fprintf(table, "%s\tany\t0\t0\n", why)
		}
	}
	return table.Flush()
}
