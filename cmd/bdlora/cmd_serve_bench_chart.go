package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"io"
	"math"

	"bdlora/model/serving"
)

// The chart's geometry, in SVG user units.
const (
	serveWidth, serveHeight = 960, 540
	serveLeft, serveRight   = 64, 936
	serveTop, serveBottom   = 96, 452
)

// serveStyle is the look; colours are those of the Okabe-Ito set, one an adapter, the
// paler the more a part is the base model's.
const serveStyle = `
text { font-family: system-ui, "Segoe UI", Helvetica, Arial, sans-serif; font-size: 13px; fill: #444 }
.title { font-size: 18px; font-weight: 600; fill: #111 }
.grid { stroke: #e4e4e4 }
.one { stroke: #888; stroke-dasharray: 4 3 }
.a0 { fill: #999999 } .a1 { fill: #d55e00 } .a2 { fill: #e69f00 } .a3 { fill: #0072b2 } .a4 { fill: #56b4e9 }
.computing { fill-opacity: .35 } .base { fill-opacity: .65 }
`

// serveChart is the bars of a report that are being drawn.
type serveChart struct {
	most float64 // of the axis
	body bytes.Buffer
}

// chart writes the SVG: a group of bars a step, a bar an adapter, as tall as its time
// is to that of BD-LoRA of the lower rank.
func (r *serveReport) chart(w io.Writer) error {
	c := &serveChart{most: 1}
	for _, s := range r.Steps {
		c.most = math.Max(c.most, s.Ratio)
	}
	c.most = math.Ceil(c.most*1.05/0.2) * 0.2
	c.text(`class="title"`, serveLeft, 34, fmt.Sprintf(
		"Time of a step, BD-LoRA = 1: %s, %d processes, %s", r.Shape, r.Processes, r.Link.Name))
	c.axis()
	adapters := len(r.Adapters)
	groups := len(r.Steps) / adapters
	wide := float64(serveRight-serveLeft) / float64(groups)
	for i, s := range r.Steps {
		within := 0.1 + 0.8*float64(i%adapters)/float64(adapters)
		c.bar(s, i%adapters, serveLeft+wide*(float64(i/adapters)+within), 0.7*wide/float64(adapters))
	}
	for group := range groups {
		s, middle := r.Steps[group*adapters], serveLeft+wide*(float64(group)+0.5)
		lines := [2]string{"prompt", fmt.Sprintf("of %d", s.Tokens)}
		if s.Past > 0 {
			lines = [2]string{fmt.Sprintf("token × %d", s.Sequences), fmt.Sprintf("behind %d", s.Past)}
		}
		c.text(`text-anchor="middle"`, middle, serveBottom+22, lines[0])
		c.text(`text-anchor="middle"`, middle, serveBottom+39, lines[1])
	}
	x := float64(serveLeft)
	for i, s := range r.Steps[:adapters] {
		c.rect(fmt.Sprintf("a%d", i), x, 52, 14, 14)
		c.text("", x+20, 64, s.adapter())
		x += 130
	}
	c.text("", serveLeft, serveHeight-20,
		"pale: computing; darker: the base model's collectives, waiting included; full: the adapter's own")
	_, err := fmt.Fprintf(w, `<svg xmlns="http://www.w3.org/2000/svg" role="img" `+
		`viewBox="0 0 %[1]d %[2]d" width="%[1]d" height="%[2]d">
<style>%[3]s</style>
<rect width="100%%" height="100%%" fill="#fff"/>
%[4]s</svg>
`, serveWidth, serveHeight, serveStyle, c.body.Bytes())
	return err
}

// y is where a ratio lies.
func (c *serveChart) y(ratio float64) float64 {
	return serveBottom - ratio/c.most*(serveBottom-serveTop)
}

func (c *serveChart) axis() {
	for tick := 0.0; tick <= c.most+1e-9; tick += 0.2 {
		class := "grid"
		if math.Abs(tick-1) < 1e-9 {
			class = "one"
		}
		const element = `<line class="%s" x1="%d" y1="%.1f" x2="%d" y2="%.1f"/>`
		fmt.Fprintf(&c.body, element+"\n", class, serveLeft, c.y(tick), serveRight, c.y(tick))
		c.text(`text-anchor="end"`, serveLeft-10, c.y(tick)+4.5, fmt.Sprintf("%.1f", tick))
	}
}

// bar stacks the parts of a step.
func (c *serveChart) bar(s serveStep, adapter int, x, width float64) {
	from := 0.0
	for _, part := range []struct {
		class   string
		seconds float64
	}{{"computing", s.Parts.Compute}, {"base", s.Parts.Base}, {"own", s.Parts.Adapter}} {
		to := from + s.Ratio*part.seconds/s.Seconds
		if part.seconds > 0 {
			c.rect(fmt.Sprintf("a%d %s", adapter, part.class), x, c.y(to), width, c.y(from)-c.y(to))
		}
		from = to
	}
	if s.Way == serving.SLoRA {
		c.text(`text-anchor="middle"`, x+width/2, c.y(from)-6, fmt.Sprintf("%.2f", s.Ratio))
	}
}

func (c *serveChart) rect(class string, x, y, width, height float64) {
	fmt.Fprintf(&c.body, `<rect class="%s" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`+"\n", class, x, y, width, height)
}

// text writes a text with the given attributes, escaped.
func (c *serveChart) text(attributes string, x, y float64, text string) {
	fmt.Fprintf(&c.body, `<text %s x="%.1f" y="%.1f">`, attributes, x, y)
	xml.EscapeText(&c.body, []byte(text)) // a buffer takes all it is given
	c.body.WriteString("</text>\n")
}
