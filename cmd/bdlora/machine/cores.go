package machine

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Cores are processor cores by number, from the lowest.
type Cores []int

// firstCores are cores by number, where nothing better is known of them.
func firstCores(n int) Cores {
	cores := make(Cores, n)
	for core := range cores {
		cores[core] = core
	}
	return cores
}

// Overlap reports whether two sets of cores have one in common.
func (c Cores) Overlap(other Cores) bool {
	return slices.ContainsFunc(c, func(core int) bool { return slices.Contains(other, core) })
}

// String is "0-3,8".
func (c Cores) String() string {
	var parts []string
	for i := 0; i < len(c); {
		end := i + 1
		for end < len(c) && c[end] == c[end-1]+1 {
			end++
		}
		if end-i == 1 {
			parts = append(parts, strconv.Itoa(c[i]))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", c[i], c[end-1]))
		}
		i = end
	}
	return strings.Join(parts, ",")
}
