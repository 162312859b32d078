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
	was, is := reflect.ValueOf(checkpoint), reflect.ValueOf(run)
	var lines []string
	for _, f := range fields() {
		before, now := was.Field(f.index).Interface(), is.Field(f.index).Interface()
		if !f.free && !reflect.DeepEqual(before, now) {
			lines = append(lines, fmt.Sprintf("%s: the checkpoint has %v, this run has %v", f.key, before, now))
		}
	}
	return lines
}
