package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/urfave/cli/v2"

	"bdlora/cmd/bdlora/numbers"
	"bdlora/kernels"
)

func benchKernelsCommand() *cli.Command {
	return &cli.Command{
		Name:  "kernels",
		Usage: "measure the kernels of a training step, each alone",
		Description: "Products are those of the first layer, of the head and of an adapter of one block, and linears with that\n" +
			"adapter's last product taken along (adapted); attention is over one sequence, shown with the widths of\n" +
			"queries and keys. GFLOP/s count what the maths needs, 2 a multiply-add, and of attention the part below the\n" +
			"diagonal. The share is of the peak, which is what this processor reaches with as many threads in fused\n" +
			"multiply-adds between registers: matrix units may be faster. Element-wise kernels: nanoseconds an element,\n" +
			"and GB/s of what they have to read and write.",
		Flags: benchFlags(5,
			&cli.IntSliceFlag{Name: "tokens", Value: cli.NewIntSlice(512, 2048), Usage: "rows of the activations"},
			&cli.IntFlag{Name: "lora_r", Aliases: []string{"r", "lora_rank"}, Value: 16, Usage: "rank of the adapter"},
		),
		Action: benchKernels,
	}
}

// kernelsReport is what bench kernels measured.
type kernelsReport struct {
	Runs        int              `json:"runs"`
	Rank        int              `json:"lora_r"`
	Products    []productRow     `json:"products"`
	Elementwise []elementwiseRow `json:"elementwise"`
}

// productRow is a matrix product, or attention with the widths of queries and keys as
// Out and In.
type productRow struct {
	Group     string   `json:"group"`  // linear, head, adapted, adapter, attention
	Kernel    string   `json:"kernel"` // forward, backward, or an adapter's formula
	Linears   []string `json:"linears"`
	Tokens    int      `json:"tokens"`
	Out       int      `json:"out"`
	In        int      `json:"in"`
	Seconds   float64  `json:"seconds"`
	GFLOP     float64  `json:"gflop"`
	GFLOPs    float64  `json:"gflops"`
	PeakShare float64  `json:"peak_share"`
}

// elementwiseRow is a kernel that touches each element once or twice.
type elementwiseRow struct {
	Kernel       string  `json:"kernel"`
	Tokens       int     `json:"tokens"`
	Elements     int     `json:"elements"`
	Seconds      float64 `json:"seconds"`
	NsPerElement float64 `json:"ns_per_element"`
	GBPerSecond  float64 `json:"gb_per_second"`
}

func benchKernels(c *cli.Context) error {
	if err := errors.Join(arguments(c, 0, 0), atLeast(c, 1, "lora_r")); err != nil {
		return err
	}
	for _, tokens := range c.IntSlice("tokens") {
		if tokens < 1 {
			return usagef("--tokens: got %d, want at least 1", tokens)
		}
	}
	b, err := newBench(c, 1)
	if err != nil {
		return err
	}
	defer b.close()
	k := &kernelBench{bench: b, report: &kernelsReport{Runs: c.Int("runs"), Rank: c.Int("lora_r")}}
	b.report.Kernels = k.report
	for _, k.tokens = range c.IntSlice("tokens") {
		b.note("%d tokens", k.tokens)
		k.linears()
		k.adapters()
		k.attention()
		k.elementwise()
	}
	return b.print(k.report.print)
}

// kernelBench measures kernels for so many tokens.
type kernelBench struct {
	*bench
	report *kernelsReport
	tokens int
}

// product measures a product of so many operations and fills in the row.
func (k *kernelBench) product(row productRow, flops float64, run func()) {
	row.Tokens, row.Seconds, row.GFLOP = k.tokens, medianSeconds(k.report.Runs, run), flops/1e9
	row.GFLOPs = numbers.PerSecond(row.GFLOP, row.Seconds)
	row.PeakShare = k.peakShare(row.GFLOPs)
	k.report.Products = append(k.report.Products, row)
}

// linearShape is a shape with the linears that have it.
type linearShape struct {
	out, in int
	names   []string
}

// linearShapes are those of a layer, in the order of its linears.
func (k *kernelBench) linearShapes() []linearShape {
	var shapes []linearShape
	for _, l := range k.model.Config.Linears() {
		i := slices.IndexFunc(shapes, func(s linearShape) bool { return s.out == l.Out && s.in == l.In })
		if i < 0 {
			i, shapes = len(shapes), append(shapes, linearShape{out: l.Out, in: l.In})
		}
		shapes[i].names = append(shapes[i].names, l.Name)
	}
	return shapes
}

// linears measures the frozen linears of a layer, and the head.
func (k *kernelBench) linears() {
	rank := k.report.Rank
	h := k.matrix(k.tokens, rank)
	for _, s := range k.linearShapes() {
		w := k.model.Linear(0, s.names[0])
		k.linear("linear", s.names, w, nil, nil)
		a, b := k.matrix(rank, s.in), k.matrix(s.out, rank)
		k.linear("adapted", s.names, w, []kernels.Addend{{Alpha: 1, A: h, B: b.T()}}, []kernels.Addend{{Alpha: 1, A: h, B: a}})
	}
	k.linear("head", []string{"lm_head"}, k.model.Head(), nil, nil)
}

// linear measures both directions of a linear with addends.
func (k *kernelBench) linear(group string, names []string, w *kernels.Weight, forward, backward []kernels.Addend) {
	x, y := k.matrix(k.tokens, w.Cols), k.matrix(k.tokens, w.Rows)
	row, flops := productRow{Group: group, Linears: names, Out: w.Rows, In: w.Cols}, kernels.Flops(k.tokens, w.Cols, w.Rows)
	riding := func(addends []kernels.Addend) (flops float64) {
		for _, a := range addends {
			flops += kernels.Flops(a.A.Rows, a.A.Cols, a.B.Cols)
		}
		return flops
	}
	row.Kernel = "forward"
	k.product(row, flops+riding(forward), func() { k.be.Linear(y, x, w, forward...) })
	row.Kernel = "backward"
	k.product(row, flops+riding(backward), func() { k.be.LinearBackward(x, y, w, false, backward...) })
}

// adapters measures the products of plain LoRA, forward and backward.
func (k *kernelBench) adapters() {
	rank := k.report.Rank
	for _, s := range k.linearShapes() {
		x, y, h := k.matrix(k.tokens, s.in), k.matrix(k.tokens, s.out), k.matrix(k.tokens, rank)
		a, b := k.matrix(rank, s.in), k.matrix(s.out, rank)
		for _, p := range []struct {
			formula string
			c, a, b kernels.Matrix
			add     bool
		}{
			{"x·Aᵀ", h, x, a.T(), false},
			{"h·Bᵀ", y, h, b.T(), true},
			{"dy·B", h, y, b, false},
			{"dh·A", x, h, a, true},
			{"dhᵀ·x", a, h.T(), x, false},
			{"dyᵀ·h", b, y.T(), h, false},
		} {
			row := productRow{Group: "adapter", Kernel: p.formula, Linears: s.names, Out: s.out, In: s.in}
			k.product(row, kernels.Flops(p.a.Rows, p.a.Cols, p.b.Cols), func() { k.be.MatMul(p.c, 1e-3, p.a, p.b, p.add) })
		}
	}
}

// attention measures one sequence.
func (k *kernelBench) attention() {
	c := k.model.Config
	wide, narrow := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	a := &kernels.AttentionShape{
		Heads: c.Heads, KVHeads: c.KVHeads, HeadDim: c.HeadDim, Scale: 1 / float64(c.HeadDim),
		Queries: []int{k.tokens}, Keys: []int{k.tokens},
	}
	q, y, dy, dq := k.matrix(k.tokens, wide), k.matrix(k.tokens, wide), k.matrix(k.tokens, wide), k.matrix(k.tokens, wide)
	keys, values := k.matrix(k.tokens, narrow), k.matrix(k.tokens, narrow)
	dk, dv, lse := k.matrix(k.tokens, narrow), k.matrix(k.tokens, narrow), k.be.Alloc(k.tokens*c.Heads)
	row := productRow{Group: "attention", Linears: []string{}, Out: wide, In: narrow}
	row.Kernel = "forward"
	k.product(row, a.Flops(), func() { k.be.Attention(y, lse, q, keys, values, a) })
	row.Kernel = "backward"
	k.product(row, a.BackwardFlops(), func() {
		k.be.AttentionBackward(dq, dk, dv, dy, y, lse, q, keys, values, a)
	})
}

// elementwise measures the other kernels of a step.
func (k *kernelBench) elementwise() {
	be, c := k.be, k.model.Config
	hidden := func() kernels.Matrix { return k.matrix(k.tokens, c.Hidden) }
	mlp := func() kernels.Matrix { return k.matrix(k.tokens, c.Intermediate) }
	x, y, dy, gain, inv := hidden(), hidden(), hidden(), k.matrix(1, c.Hidden).Buf, be.Alloc(k.tokens)
	gate, up, ds, dgate, dup := mlp(), mlp(), mlp(), mlp(), mlp()
	queries, positions := k.matrix(k.tokens, c.Heads*c.HeadDim), make([]int32, k.tokens)
	rotary := c.RopeScaling.Rotary(c.HeadDim)
	for i := range positions {
		positions[i] = int32(i)
	}
	logits, targets := k.matrix(k.tokens, c.Vocab), make([]int32, k.tokens)
	softmax, ones := kernels.NewSoftmaxRows(k.tokens), slices.Repeat([]float64{1}, k.tokens)
	param, grad, m, v := k.matrix(k.tokens, c.Hidden).Buf, hidden().Buf, be.Alloc(x.Rows*x.Cols), be.Alloc(x.Rows*x.Cols)
	step := kernels.AdamW{LR: 1e-4, Beta1: 0.9, Beta2: 0.999, Eps: 1e-8, GradScale: 1, T: 1}
	for _, e := range []struct {
		kernel          string
		of              kernels.Matrix
		bytesPerElement int // that it has to read and write
		run             func()
	}{
		{"RMSNorm", x, 8, func() { be.RMSNorm(y, inv, x, gain, c.NormEps) }},
		{"RMSNormBackward", x, 16, func() { be.RMSNormBackward(y, dy, x, inv, gain) }},
		{"RoPE", queries, 8, func() { be.RoPE(queries, positions, rotary, false) }},
		{"SwiGLU", gate, 12, func() { be.SwiGLU(ds, gate, up) }},
		{"SwiGLUBackward", gate, 20, func() { be.SwiGLUBackward(dgate, dup, ds, gate, up) }},
		{"Dropout", x, 8, func() { be.Dropout(y, x, kernels.Dropout{P: 0.1, Key: 1}, false) }},
		{"CrossEntropy", logits, 8, func() { be.CrossEntropy(softmax, logits, targets) }},
		{"CrossEntropyBackward", logits, 8, func() { be.CrossEntropyBackward(logits, targets, ones, 0) }},
		{"Copy", x, 8, func() { be.Copy(y, x) }},
		{"Add", x, 12, func() { be.Add(y, x) }},
		{"SumSquares", x, 4, func() { be.SumSquares(grad) }},
		{"AdamW", x, 28, func() { be.AdamW(param, grad, m, v, step) }},
	} {
		row := elementwiseRow{Kernel: e.kernel, Tokens: k.tokens, Elements: e.of.Rows * e.of.Cols}
		row.Seconds = medianSeconds(k.report.Runs, e.run)
		row.NsPerElement = row.Seconds * 1e9 / float64(row.Elements)
		row.GBPerSecond = float64(e.bytesPerElement) / row.NsPerElement
		k.report.Elementwise = append(k.report.Elementwise, row)
	}
}

// matrix is a matrix of numbers between −1 and 1.
func (k *kernelBench) matrix(rows, cols int) kernels.Matrix {
	m := kernels.NewMatrix(k.be.Alloc(rows*cols), rows, cols)
	some := make([]float32, 4093) // a prime, so that rows differ
	for i := range some {
		some[i] = float32(i*2039%len(some))/float32(len(some)/2) - 1
	}
	for from := 0; from < rows*cols; from += len(some) {
		part := some[:min(len(some), rows*cols-from)]
		k.be.Upload(m.Buf.Slice(from, from+len(part)), part)
	}
	return m
}

// print writes the two tables.
func (r *kernelsReport) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "product\tkernel\ttokens\tout × in\tms\tGFLOP/s\tof peak\tlinears")
	for _, p := range r.Products {
		fmt.Fprintf(table, "%s\t%s\t%d\t%d × %d\t%.3g\t%.1f\t%.0f%%\t%s\n", p.Group, p.Kernel, p.Tokens, p.Out, p.In,
			1e3*p.Seconds, p.GFLOPs, 100*p.PeakShare, strings.Join(p.Linears, " "))
	}
	table.Flush()
	fmt.Fprintln(w)
	fmt.Fprintln(table, "kernel\ttokens\telements\tms\tns/element\tGB/s")
	for _, e := range r.Elementwise {
		fmt.Fprintf(table, "%s\t%d\t%s\t%.3g\t%.3f\t%.1f\n", e.Kernel, e.Tokens, numbers.Thousands(e.Elements),
			1e3*e.Seconds, e.NsPerElement, e.GBPerSecond)
	}
	return table.Flush()
}
