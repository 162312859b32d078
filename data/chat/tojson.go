package chat

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"unicode/utf16"

	"github.com/ardanlabs/jinja"
)

// toJSON is the filter tojson: Python's json.dumps with ensure_ascii off unless
// asked for. Its options are ensure_ascii, indent, separators and sort_keys.
func toJSON(args []jinja.Value, named map[string]jinja.Value) (jinja.Value, error) {
	if len(args) != 1 {
		return jinja.Undefined(), fmt.Errorf("tojson: got %d positional arguments, want none", len(args)-1)
	}
	w := jsonWriter{item: ", ", key: ": "}
	for name, v := range named {
		if err := w.option(name, v); err != nil {
			return jinja.Undefined(), err
		}
	}
	if _, set := named["separators"]; w.indented && !set {
		w.item = ","
	}
	if err := w.value(args[0], 0); err != nil {
		return jinja.Undefined(), err
	}
	return jinja.NewString(w.out.String()), nil
}

// jsonWriter writes JSON as Python's json module does.
type jsonWriter struct {
	out       strings.Builder
	item, key string // separators
	indented  bool
	indent    string
	sorted    bool
	ascii     bool
}

func (w *jsonWriter) option(name string, v jinja.Value) error {
	switch {
	case name == "ensure_ascii":
		w.ascii = v.IsTruthy()
	case name == "sort_keys":
		w.sorted = v.IsTruthy()
	case v.IsNone() && (name == "indent" || name == "separators"):
	case name == "indent" && v.IsInt():
		w.indented, w.indent = true, strings.Repeat(" ", int(min(max(v.AsInt(), 0), 16)))
	case name == "indent" && v.IsString():
		w.indented, w.indent = true, v.AsString()
	case name == "separators" && v.IsList() && v.AsList().Len() == 2:
		for i, to := range []*string{&w.item, &w.key} {
			separator := v.AsList().Get(i)
			if !separator.IsString() {
				return fmt.Errorf("tojson: got separator %s, want a string", separator)
			}
			*to = separator.AsString()
		}
	default:
		return fmt.Errorf("tojson: got %s=%s, want ensure_ascii, indent, separators or sort_keys", name, v)
	}
	return nil
}

func (w *jsonWriter) value(v jinja.Value, depth int) error {
	switch {
	case v.IsNone():
		w.out.WriteString("null")
	case v.IsBool():
		w.out.WriteString(strconv.FormatBool(v.AsBool()))
	case v.IsInt():
		w.out.WriteString(strconv.FormatInt(v.AsInt(), 10))
	case v.IsFloat():
		w.out.WriteString(pythonFloat(v.AsFloat()))
	case v.IsString():
		w.text(v.AsString())
	case v.IsList():
		return w.list(v.AsList(), depth)
	case v.IsDict():
		return w.dict(v.AsDict(), depth)
	default:
		return errors.New("tojson: got an undefined value or a function, want what JSON can hold")
	}
	return nil
}

func (w *jsonWriter) list(l *jinja.List, depth int) error {
	w.out.WriteByte('[')
	for i, v := range l.Items {
		w.separate(i, depth+1)
		if err := w.value(v, depth+1); err != nil {
			return err
		}
	}
	w.end(l.Len(), depth)
	w.out.WriteByte(']')
	return nil
}

func (w *jsonWriter) dict(d *jinja.Dict, depth int) error {
	keys := d.OrderedKeys()
	if w.sorted {
		keys = slices.SortedFunc(slices.Values(keys), cmp.Compare[string])
	}
	w.out.WriteByte('{')
	for i, key := range keys {
		w.separate(i, depth+1)
		w.text(key)
		w.out.WriteString(w.key)
		v, _ := d.Get(key)
		if err := w.value(v, depth+1); err != nil {
			return err
		}
	}
	w.end(len(keys), depth)
	w.out.WriteByte('}')
	return nil
}

// separate writes what stands before the i-th item.
func (w *jsonWriter) separate(i, depth int) {
	if i > 0 {
		w.out.WriteString(w.item)
	}
	if w.indented {
		w.out.WriteString("\n" + strings.Repeat(w.indent, depth))
	}
}

// end writes what stands between the last item and the closing bracket.
func (w *jsonWriter) end(items, depth int) {
	if w.indented && items > 0 {
		w.out.WriteString("\n" + strings.Repeat(w.indent, depth))
	}
}

func (w *jsonWriter) text(s string) {
	w.out.WriteByte('"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			w.out.WriteString(`\` + string(r))
		case strings.ContainsRune("\b\f\n\r\t", r):
			w.out.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		case r < ' ' || w.ascii && r > '~' && r <= 0xFFFF:
			fmt.Fprintf(&w.out, `\u%04x`, r)
		case w.ascii && r > 0xFFFF:
			high, low := utf16.EncodeRune(r)
			fmt.Fprintf(&w.out, `\u%04x\u%04x`, high, low)
		default:
			w.out.WriteRune(r)
		}
	}
	w.out.WriteByte('"')
}

// pythonFloat is repr(f), with json's names for what is not a number.
func pythonFloat(f float64) string {
	switch size := math.Abs(f); {
	case math.IsNaN(f):
		return "NaN"
	case math.IsInf(f, 0):
		return map[bool]string{true: "Infinity", false: "-Infinity"}[f > 0]
	case size != 0 && (size < 1e-4 || size >= 1e16):
		return strconv.FormatFloat(f, 'e', -1, 64)
	}
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}
