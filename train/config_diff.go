package train

import (
	"fmt"
	"reflect"
)

// Diff is the settings in which a run differs from the checkpoint that it is to
// resume from, a line each with both values, as long as they change what is trained.
// How often to log or save, where to, on how many threads and in how much memory may
// differ; so may the paths of model and datasets, whose content is compared instead.
//
// Both must be settled: rank and alpha as in the adapter, not left to be chosen.
func Diff(checkpoint, run Config) []string {
	return diffConfigs("the checkpoint", checkpoint, "this run", run, func(f field) bool { return f.free })
}

// diffConfigs is the settings in which b differs from a, but for those that are free to.
func diffConfigs(nameA string, a Config, nameB string, b Config, free func(field) bool) []string {
	valueA, valueB := reflect.ValueOf(a), reflect.ValueOf(b)
	var lines []string
	for _, f := range fields() {
		hasA, hasB := valueA.Field(f.index).Interface(), valueB.Field(f.index).Interface()
		if !free(f) && !reflect.DeepEqual(hasA, hasB) {
			lines = append(lines, fmt.Sprintf("%s: %s has %v, %s has %v", f.key, nameA, hasA, nameB, hasB))
		}
	}
	return lines
}
