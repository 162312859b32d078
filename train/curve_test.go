package train_test

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"bdlora/train"
)

// lossesOf is the log of a run that logs every 5 steps and evaluates every 40.
func lossesOf(steps int) []train.Entry {
	var log []train.Entry
	for step := 5; step <= steps; step += 5 {
		wave := 0.12 * math.Sin(float64(step)) * math.Cos(float64(step)/7)
		loss := 0.8 + 1.6*math.Exp(-float64(step)/90) + wave
		log = append(log, train.Entry{CurrentSteps: step, TotalSteps: steps, Loss: &loss})
		if step%40 == 0 {
			evalLoss := 0.95 + 1.5*math.Exp(-float64(step)/80) + float64(step)/4000
			log = append(log, train.Entry{CurrentSteps: step, TotalSteps: steps, EvalLoss: &evalLoss})
		}
	}
	return log
}

// curve writes a curve and parses it: the values of each element's attribute, by
// element and class, in order.
type curve struct {
	text  string
	paths map[string]string // d by class
	dots  [][2]float64      // of the evaluations
	texts []string
	grid  int
}

func drawn(t *testing.T, title string, log []train.Entry) curve {
	t.Helper()
	path := filepath.Join(t.TempDir(), train.CurveName)
	if err := train.WriteCurve(path, title, log); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return parseCurve(t, string(text))
}

func parseCurve(t *testing.T, text string) curve {
	t.Helper()
	c := curve{text: text, paths: map[string]string{}}
	decoder := xml.NewDecoder(strings.NewReader(text))
	inText := false
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return c
		}
		if err != nil {
			t.Fatalf("got XML with %v in\n%s", err, text)
		}
		switch token := token.(type) {
		case xml.StartElement:
			inText = token.Name.Local == "text"
			if inText {
				c.texts = append(c.texts, "")
			}
			c.element(t, token)
		case xml.CharData:
			if inText {
				c.texts[len(c.texts)-1] += string(token)
			}
		case xml.EndElement:
			inText = false
		}
	}
}

func (c *curve) element(t *testing.T, element xml.StartElement) {
	t.Helper()
	attributes := map[string]string{}
	for _, a := range element.Attr {
		attributes[a.Name.Local] = a.Value
	}
	switch element.Name.Local {
	case "path":
		c.paths[attributes["class"]] = attributes["d"]
	case "circle":
		c.dots = append(c.dots, [2]float64{number(t, attributes["cx"]), number(t, attributes["cy"])})
	case "line":
		if attributes["class"] == "grid" {
			c.grid++
		}
	}
}

func number(t *testing.T, text string) float64 {
	t.Helper()
	x, err := strconv.ParseFloat(text, 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// coordinates are the points of a path's d.
func coordinates(t *testing.T, d string) [][2]float64 {
	t.Helper()
	var points [][2]float64
	for _, part := range strings.Split(strings.TrimPrefix(d, "M"), " L") {
		xy := strings.Fields(part)
		points = append(points, [2]float64{number(t, xy[0]), number(t, xy[1])})
	}
	return points
}

func TestCurveHasEveryLoss(t *testing.T) {
	c := drawn(t, "SmolLM2", lossesOf(400))
	for class, want := range map[string]int{"raw": 80, "train": 80, "eval": 10} {
		if got := len(coordinates(t, c.paths[class])); got != want {
			t.Errorf("%s: got %d points, want %d", class, got, want)
		}
	}
	if len(c.dots) != 10 {
		t.Errorf("got %d dots, want 10", len(c.dots))
	}
}

func TestCurveStaysInsideItsPlot(t *testing.T) {
	c := drawn(t, "SmolLM2", lossesOf(400))
	for class, d := range c.paths {
		for i, p := range coordinates(t, d) {
			if p[0] < 76 || p[0] > 936 || p[1] < 84 || p[1] > 480 {
				t.Errorf("%s: point %d is at %v, want it in [76, 936]×[84, 480]", class, i, p)
			}
		}
	}
}

// A lower loss is lower on the page, where y grows downwards; time goes right.
func TestCurveDirections(t *testing.T) {
	high, low := 2.0, 1.0
	c := drawn(t, "", []train.Entry{{CurrentSteps: 1, Loss: &high}, {CurrentSteps: 2, Loss: &low}})
	points := coordinates(t, c.paths["raw"])
	if !(points[1][0] > points[0][0] && points[1][1] > points[0][1]) {
		t.Errorf("got %v for a falling loss, want both coordinates to grow", points)
	}
}

func TestCurveSmoothsLessThanItFollows(t *testing.T) {
	c := drawn(t, "", lossesOf(400))
	if raw, smooth := travel(t, c.paths["raw"]), travel(t, c.paths["train"]); smooth >= raw/2 {
		t.Errorf("the smoothed line goes %.0f up and down, the raw one %.0f, want less than half", smooth, raw)
	}
}

// In the middle of a straight fall the average is the line itself.
func TestCurveSmoothingDoesNotLag(t *testing.T) {
	var log []train.Entry
	for step := 1; step <= 101; step++ {
		loss := 3 - float64(step)/100
		log = append(log, train.Entry{CurrentSteps: step, Loss: &loss})
	}
	c := drawn(t, "", log)
	raw, smooth := coordinates(t, c.paths["raw"])[50], coordinates(t, c.paths["train"])[50]
	if math.Abs(raw[1]-smooth[1]) > 4 { // 1 % of the plot
		t.Errorf("got height %v for the average in the middle, want %v", smooth[1], raw[1])
	}
}

// travel is the way that a path goes up and down.
func travel(t *testing.T, d string) float64 {
	t.Helper()
	way := 0.0
	points := coordinates(t, d)
	for i := 1; i < len(points); i++ {
		way += math.Abs(points[i][1] - points[i-1][1])
	}
	return way
}

func TestCurveNamesWhatItShows(t *testing.T) {
	c := drawn(t, `<b> & "quotes"`+"\x00", lossesOf(400))
	for _, want := range []string{
		"<b> & \"quotes\"\uFFFD", "step", "loss", "training", "training, smoothed",
		"evaluation, lowest 1.057 at step 360", "400", "0.5", "1.0", "2.5",
	} {
		if !slices.Contains(c.texts, want) {
			t.Errorf("got texts %q, want %q among them", c.texts, want)
		}
	}
}

// Whatever the losses: few ticks, all of different text, and valid XML.
func TestCurveTicks(t *testing.T) {
	for _, losses := range [][]float64{
		{}, {0}, {1.5}, {3, 3, 3}, {1e-9, 2e-9}, {1e12, 3e12}, {2.3, 2.3000001}, {-5, 5}, {0.1, 100},
		{math.NaN(), 1, math.Inf(1), 2}, {5e-324, 1e-323}, {1e99, -1e99, 1e300},
	} {
		t.Run(fmt.Sprint(losses), func(t *testing.T) {
			var log []train.Entry
			for i := range losses {
				log = append(log, train.Entry{CurrentSteps: i + 1, Loss: &losses[i]})
			}
			c := drawn(t, "", log)
			labels := c.texts[1:slices.Index(c.texts, "step")] // y upwards, then x
			if len(labels) != c.grid {
				t.Errorf("got labels %q for %d grid lines", labels, c.grid)
			}
			for i := range labels[1:] {
				if labels[i] == labels[i+1] && labels[i] != "0" {
					t.Errorf("got labels %q, want neighbours to differ", labels)
				}
			}
			if c.grid < 4 || c.grid > 24 {
				t.Errorf("got %d grid lines, want 4 to 24", c.grid)
			}
			if strings.Contains(c.text, "NaN") || strings.Contains(c.text, "Inf") {
				t.Errorf("got NaN or Inf in\n%s", c.text)
			}
		})
	}
}

func TestCurveIsTheSameForTheSameLog(t *testing.T) {
	first, second := drawn(t, "a", lossesOf(50)), drawn(t, "a", lossesOf(50))
	if first.text != second.text {
		t.Errorf("got\n%s\nand then\n%s", first.text, second.text)
	}
}
