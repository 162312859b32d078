package chat

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ardanlabs/jinja"
)

// function is how the engine calls what a template names.
type function = func(args []jinja.Value, named map[string]jinja.Value) (jinja.Value, error)

// maxRange is the longest range that jinja2's sandbox allows.
const maxRange = 100_000

// limitedRange is Python's range.
func limitedRange(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
	bounds := make([]int64, len(args))
	for i, arg := range args {
		switch {
		case arg.IsInt():
			bounds[i] = arg.AsInt()
		case arg.IsFloat() && arg.AsFloat() == float64(int64(arg.AsFloat())): // the engine's 10**2
			bounds[i] = int64(arg.AsFloat())
		default:
			return jinja.Undefined(), fmt.Errorf("range: got %s, want an integer", arg)
		}
	}
	start, stop, step := int64(0), int64(0), int64(1)
	switch len(bounds) {
	case 1:
		stop = bounds[0]
	case 2:
		start, stop = bounds[0], bounds[1]
	case 3:
		start, stop, step = bounds[0], bounds[1], bounds[2]
	default:
		return jinja.Undefined(), fmt.Errorf("range: got %d arguments, want 1 to 3", len(args))
	}
	if step == 0 {
		return jinja.Undefined(), errors.New("range: step is 0")
	}
	var items []jinja.Value
	for i := start; step > 0 && i < stop || step < 0 && i > stop; i += step {
		if len(items) == maxRange {
			return jinja.Undefined(), fmt.Errorf("range: longer than %d", maxRange)
		}
		items = append(items, jinja.NewInt(i))
	}
	return jinja.NewList(items), nil
}

// clock is strftime_now for a clock that stands still.
func clock(now time.Time) function {
	return func(args []jinja.Value, _ map[string]jinja.Value) (jinja.Value, error) {
		if len(args) != 1 || !args[0].IsString() {
			return jinja.Undefined(), errors.New("strftime_now: want one string, the format")
		}
		s, err := strftime(now, args[0].AsString())
		if err != nil {
			return jinja.Undefined(), err
		}
		return jinja.NewString(s), nil
	}
}

// strftime formats as Python does in the C locale.
func strftime(t time.Time, format string) (string, error) {
	var s strings.Builder
	for {
		before, rest, found := strings.Cut(format, "%")
		s.WriteString(before)
		if !found {
			return s.String(), nil
		}
		n := min(1, len(rest))
		if strings.HasPrefix(rest, "-") { // glibc: without leading zeros
			n = min(2, len(rest))
		}
		layout, known := layouts[rest[:n]]
		if !known {
			want := slices.Sorted(maps.Keys(layouts))
			return "", fmt.Errorf("strftime_now: got %q, want after %% one of %q", "%"+rest[:n], want)
		}
		s.WriteString(t.Format(layout))
		format = rest[n:]
	}
}

// layouts are those of package time for the directives of strftime.
var layouts = map[string]string{
	"Y": "2006", "y": "06",
	"m": "01", "-m": "1", "B": "January", "b": "Jan", "h": "Jan",
	"d": "02", "-d": "2", "e": "_2", "j": "002", "A": "Monday", "a": "Mon",
	"H": "15", "I": "03", "-I": "3", "M": "04", "S": "05", "p": "PM",
	"F": "2006-01-02", "T": "15:04:05", "D": "01/02/06", "%": "%",
}
