//go:build !linux && !darwin

package machine

// PeakMemory is the memory that Go has taken from the system, and what says so.
func PeakMemory() (bytes int64, of string) { return goMemory() }
