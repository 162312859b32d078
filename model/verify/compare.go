package verify

import (
	"fmt"
	"math"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
)

// Differences is how far a process's outcome is from the whole one: the largest
// difference of two numbers, relative to the largest number of that token's output, or
// of that factor's gradient in all shards. NaN is infinitely far from anything.
type Differences struct {
	Plan   *bdlora.Plan
	Halves []string     // as Outs has them
	Outs   []float64    // of every half-layer
	Loss   float64      // relative
	Grads  [][2]float64 // of A and B of every module of Plan; none if only forward
}

// Compare sets whole, the outcome of one process, against that of one of a group. They
// are of the same batch. Adapters of other modules or ranks are an error.
func (whole *Outcome) Compare(part *Outcome) (*Differences, error) {
	if err := whole.comparable(part); err != nil {
		return nil, err
	}
	d := &Differences{Plan: whole.Plan, Loss: math.Abs(part.Loss-whole.Loss) / math.Abs(whole.Loss)}
	if math.IsNaN(d.Loss) {
		d.Loss = math.Inf(1)
	}
	for i, out := range whole.Outs {
		d.Halves = append(d.Halves, out.Half)
		d.Outs = append(d.Outs, out.distance(part.Outs[i]))
	}
	if whole.Grads == nil {
		return d, nil
	}
	for _, m := range whole.Plan.Modules {
		d.Grads = append(d.Grads, [2]float64{whole.gradient(part, m.A), whole.gradient(part, m.B)})
	}
	return d, nil
}

// distance is how far got is from o where it is furthest. Tokens are taken one by one,
// since the first of a sequence has numbers that would hide what the others do
// (arXiv 2402.17762).
func (o Out) distance(got Out) float64 {
	far := 0.0
	for from := 0; from < len(o.Y); from += o.Width {
		want := o.Y[from:][:o.Width]
		far = max(far, relative(distance(got.Y[from:], want), largest(want)))
	}
	return far
}

// comparable reports adapters that have no numbers to set against each other.
func (whole *Outcome) comparable(part *Outcome) error {
	if got, want := len(part.Plan.Modules), len(whole.Plan.Modules); got != want {
		return fmt.Errorf("verify: got shards of %d linears, want the adapter's %d", got, want)
	}
	for k, want := range whole.Plan.Modules {
		got := part.Plan.Modules[k]
		if got.Path() != want.Path() || got.A != want.A || got.B != want.B {
			return fmt.Errorf("verify: got shards of %s with A %v and B %v, want the adapter's %s with %v and %v",
				got.Path(), got.A, got.B, want.Path(), want.A, want.B)
		}
	}
	return nil
}

// gradient is how far the gradients of one factor are from each other, relative to the
// largest of all shards.
func (whole *Outcome) gradient(part *Outcome, f bdlora.Factor) float64 {
	far, most := 0.0, 0.0
	for _, shard := range whole.Grads {
		most = max(most, largest(f.Of(shard)))
	}
	for i, shard := range part.Grads {
		far = max(far, distance(f.Of(shard), f.Of(whole.Grads[part.First+i])))
	}
	return relative(far, most)
}

// Agree replaces each of d's differences by the largest that a process of the group has.
func (d *Differences) Agree(group comm.Comm) error {
	places := d.places()
	numbers := make([]float64, len(places))
	for i, at := range places {
		numbers[i] = *at
	}
	err := group.AllReduce(comm.Control, comm.Max, numbers)
	for i, at := range places {
		*at = numbers[i]
	}
	return err
}

// Largest is the largest of all, and what differs so much: a half-layer, a factor or
// the loss.
func (d *Differences) Largest() (far float64, where string) {
	for i, half := range d.Halves {
		if d.Outs[i] > far {
			far, where = d.Outs[i], "the output of "+half
		}
	}
	for k, grads := range d.Grads {
		for i, factor := range []string{"A", "B"} {
			if grads[i] > far {
				far, where = grads[i], fmt.Sprintf("the gradient in %s of %s", factor, d.Plan.Modules[k].Path())
			}
		}
	}
	if d.Loss > far {
		far, where = d.Loss, "the loss"
	}
	return far, where
}

// places is where d's numbers are.
func (d *Differences) places() []*float64 {
	all := []*float64{&d.Loss}
	for i := range d.Outs {
		all = append(all, &d.Outs[i])
	}
	for i := range d.Grads {
		all = append(all, &d.Grads[i][0], &d.Grads[i][1])
	}
	return all
}

// relative is far/most, 0 where nothing differs and infinite where that is no number.
func relative(far, most float64) float64 {
	if far == 0 {
		return 0
	}
	if ratio := far / most; !math.IsNaN(ratio) {
		return ratio
	}
	return math.Inf(1)
}

// distance is the largest difference of two numbers at the same place, NaN if one is.
func distance(got, want []float32) float64 {
	far := 0.0
	for i, w := range want {
		far = max(far, math.Abs(float64(got[i])-float64(w)))
	}
	return far
}

// largest is the largest absolute value.
func largest(values []float32) float64 {
	most := 0.0
	for _, v := range values {
		most = max(most, math.Abs(float64(v)))
	}
	return most
}
