// Package machine asks the system what a process may use of the machine, and what it has
// used.
package machine

import "runtime"

// goMemory is the memory that Go has taken from the system, mapped weights left out,
// for where the system itself does not tell.
func goMemory() (bytes int64, of string) {
	var stats runtime.MemStats
	runtime.ReadMemStats(&stats)
	return int64(stats.Sys), "Go's own, without mapped weights"
}
