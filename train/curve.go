package train

import (
	"fmt"
	"io"
	"math"
	"slices"

	"bdlora/data/durable"
)

// CurveName is the loss curve's file in an output folder.
const CurveName = "training_loss.svg"

// WriteCurve draws the losses of a log over the steps as the SVG file path: those
// of training as they are and smoothed, and those of evaluation, the lowest one
// named. It fails as [durable.WriteFile] does.
func WriteCurve(path, title string, log []Entry) error {
	return durable.WriteFile(path, func(w io.Writer) error {
		return drawCurve(w, title, log)
	})
}

// point is one loss; x is the step.
type point struct{ x, y float64 }

// drawCurve writes the SVG.
func drawCurve(w io.Writer, title string, log []Entry) error {
	training := pointsOf(log, func(e Entry) *float64 { return e.Loss })
	evaluation := pointsOf(log, func(e Entry) *float64 { return e.EvalLoss })
	c := newChart(title, training, evaluation)
	c.frame("step", "loss")
	if len(training) > 0 {
		c.line("raw", training)
		c.line("train", smooth(training))
		c.legend("raw", "training")
		c.legend("train", "training, smoothed")
	}
	if len(evaluation) > 0 {
		best := lowest(evaluation)
		c.line("eval", evaluation)
		c.dots("eval", evaluation)
		c.legend("eval", fmt.Sprintf("evaluation, lowest %.4g at step %.0f", best.y, best.x))
	}
	return c.write(w)
}

// pointsOf are the losses that get finds in the log, but for those that no chart has
// room for.
func pointsOf(log []Entry, get func(Entry) *float64) []point {
	const most = 1e100
	var points []point
	for _, e := range log {
		if y := get(e); y != nil && math.Abs(*y) <= most { // NaN is not
			points = append(points, point{float64(e.CurrentSteps), *y})
		}
	}
	return points
}

// smooth is the exponential moving average of n points, taken forwards and then
// backwards, so that it does not lag behind them. The weight w of the neighbour grows
// with n from 0 to 0.9:
//
//	w = 1.8·(σ(n/20) - ½)
//
// Source: the weight is that of LLaMA-Factory's plots, which go forwards only.
func smooth(points []point) []point {
	w := 1.8 * (1/(1+math.Exp(-float64(len(points))/20)) - 0.5)
	smoothed := slices.Clone(points)
	for i := 1; i < len(points); i++ {
		smoothed[i].y = w*smoothed[i-1].y + (1-w)*smoothed[i].y
	}
	for i := len(points) - 2; i >= 0; i-- {
		smoothed[i].y = w*smoothed[i+1].y + (1-w)*smoothed[i].y
	}
	return smoothed
}

// lowest is the first of the lowest points.
func lowest(points []point) point {
	best := points[0]
	for _, p := range points {
		if p.y < best.y {
			best = p
		}
	}
	return best
}
