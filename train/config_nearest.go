package train

import (
	"fmt"
	"maps"
	"slices"
)

// suggestion names the known key nearest to name, if one is near enough to be
// meant: within two edits, and one more for every four letters.
func suggestion(name string, known map[string]field) string {
	best, bestDistance := "", 3+len(name)/4
	for _, key := range slices.Sorted(maps.Keys(known)) {
		if d := editDistance(name, key); d < bestDistance {
			best, bestDistance = key, d
		}
	}
	if best == "" {
		return ""
	}
	return fmt.Sprintf(", want %q?", best)
}

// editDistance is the number of bytes to insert, delete or replace to turn a into
// b (Levenshtein).
func editDistance(a, b string) int {
	row := make([]int, len(b)+1) // distances of a's prefix to each prefix of b
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
