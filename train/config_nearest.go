package train

import (
	"fmt"
	"maps"
	"slices"

	"github.com/xrash/smetrics"
)

// suggestion names the known key nearest to name, if one is near enough to be
// meant: within two edits, and one more for every four letters.
func suggestion(name string, known map[string]field) string {
	best, bestDistance := "", 3+len(name)/4
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if d := smetrics.WagnerFischer(name, key, 1, 1, 1); d < bestDistance {
			best, bestDistance = key, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", want %q?", best)
}
