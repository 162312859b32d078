package train

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"unicode/utf8"
)

// The chart's geometry, in SVG user units.
const (
	chartWidth, chartHeight = 960, 540
	plotLeft, plotRight     = 76, 936
	plotTop, plotBottom     = 84, 480
)

// chartStyle is the look; colours are those of the Okabe-Ito set, which people who
// see colours differently can tell apart.
const chartStyle = `
text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px; fill: #444 }
.title { font-size: 18px; font-weight: 600; fill: #111 }
.grid { stroke: #e4e4e4 }
.axis { stroke: #888 }
.raw, .train, .eval { fill: none; stroke-linejoin: round; stroke-linecap: round }
.raw { stroke: #0072b2; stroke-opacity: .3; stroke-width: 1.5 }
.train { stroke: #0072b2; stroke-width: 2.5 }
.eval { stroke: #d55e00; stroke-width: 2.5 }
circle.eval { fill: #fff; stroke-width: 2 }
`

// chart is a line chart that is being drawn.
type chart struct {
	x, y    axis
	legendX float64      // where the next entry of the legend begins
	body    bytes.Buffer // the elements
}

// newChart is an empty chart with room for all the points.
func newChart(title string, series ...[]point) *chart {
	var xs, ys []float64
	for _, points := range series {
		for _, p := range points {
			xs, ys = append(xs, p.x), append(ys, p.y)
		}
	}
	c := &chart{legendX: plotLeft}
	c.x = newStepAxis(xs, plotLeft, plotRight)
	c.y = newAxis(ys, plotBottom, plotTop)
	c.text(`class="title"`, plotLeft, 34, title)
	return c
}

// frame draws grid, axes, ticks and the axes' names.
func (c *chart) frame(xName, yName string) {
	for _, tick := range c.y.ticks() {
		y := c.y.at(tick)
		c.segment("grid", plotLeft, y, plotRight, y)
		c.text(`text-anchor="end"`, plotLeft-10, y+4.5, c.y.label(tick))
	}
	for _, tick := range c.x.ticks() {
		x := c.x.at(tick)
		c.segment("grid", x, plotTop, x, plotBottom)
		c.text(`text-anchor="middle"`, x, plotBottom+22, c.x.label(tick))
	}
	c.segment("axis", plotLeft, plotBottom, plotRight, plotBottom)
	c.segment("axis", plotLeft, plotTop, plotLeft, plotBottom)
	c.text(`text-anchor="middle"`, (plotLeft+plotRight)/2, plotBottom+46, xName)
	const middle = (plotTop + plotBottom) / 2
	c.text(fmt.Sprintf(`text-anchor="middle" transform="rotate(-90 22 %d)"`, middle), 22, middle, yName)
}

// line joins the points; a single one is a dot by its round ends.
func (c *chart) line(class string, points []point) {
	fmt.Fprintf(&c.body, `<path class="%s" d="M`, class)
	for i, p := range points {
		if i > 0 {
			c.body.WriteString(" L")
		}
		fmt.Fprintf(&c.body, "%.1f %.1f", c.x.at(p.x), c.y.at(p.y))
	}
	if len(points) == 1 {
		c.body.WriteString(" h0")
	}
	c.body.WriteString("\"/>\n")
}

// dots marks the points.
func (c *chart) dots(class string, points []point) {
	for _, p := range points {
		fmt.Fprintf(&c.body, "<circle class=\"%s\" cx=\"%.1f\" cy=\"%.1f\" r=\"3.5\"/>\n",
			class, c.x.at(p.x), c.y.at(p.y))
	}
}

// legend adds an entry to the legend under the title.
func (c *chart) legend(class, name string) {
	const y, sample, gap, letter = 60, 26, 8, 7 // letter is the width of one, about
	c.segment(class, c.legendX, y, c.legendX+sample, y)
	c.text("", c.legendX+sample+gap, y+4.5, name)
	c.legendX += sample + gap + float64(letter*utf8.RuneCountInString(name)) + 3*gap
}

// segment draws a straight line.
func (c *chart) segment(class string, x1, y1, x2, y2 float64) {
	const element = `<line class="%s" x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f"/>`
	fmt.Fprintf(&c.body, element+"\n", class, x1, y1, x2, y2)
}

// text writes a text with the given attributes, escaped.
func (c *chart) text(attributes string, x, y float64, text string) {
	fmt.Fprintf(&c.body, `<text %s x="%.1f" y="%.1f">`, attributes, x, y)
	xml.EscapeText(&c.body, []byte(text)) // a buffer takes all it is given
	c.body.WriteString("</text>\n")
}

// write writes the whole document.
func (c *chart) write(w io.Writer) error {
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" role="img" `+
		`viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d">
<style>%[3]s</style>
<rect width="100%%" height="100%%" fill="#fff"/>
%[4]s</svg>
`, chartWidth, chartHeight, chartStyle, c.body.Bytes())
	return err
}
