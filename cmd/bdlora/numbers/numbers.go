// Package numbers makes of measurements what commands show: medians, and numbers as
// people read them.
package numbers

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"time"
)

// Median is the middle of values, which it sorts; of an even number, the lower one.
func Median(values []float64) float64 {
	slices.Sort(values)
	return values[(len(values)-1)/2]
}

// PerSecond is a rate, also of work that took less than the clock sees.
func PerSecond(work, seconds float64) float64 { return work / math.Max(seconds, 1e-9) }

// Thousands writes a count that is not negative with commas, as PEFT does.
func Thousands[Count int | int64](n Count) string {
	text := strconv.FormatInt(int64(n), 10)
	for i := len(text) - 3; i > 0; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// Trainable is the line that PEFT's print_trainable_parameters prints.
func Trainable(trainable, all int64) string {
	return fmt.Sprintf("trainable params: %s || all params: %s || trainable%%: %.4f",
		Thousands(trainable), Thousands(all), 100*float64(trainable)/float64(all))
}

// Rate writes tokens per second: with a decimal where it is slow.
func Rate(perSecond float64) string {
	if perSecond < 100 {
		return fmt.Sprintf("%.1f", perSecond)
	}
	return Thousands(int64(perSecond))
}

// Mebibytes writes a size in MiB.
func Mebibytes(bytes int64) string {
	return fmt.Sprintf("%.1f MiB", float64(bytes)/(1<<20))
}

// Milliseconds writes a time without its unit.
func Milliseconds(seconds float64) string {
	return fmt.Sprintf("%.3g", float64(time.Duration(seconds*1e9))/1e6)
}
