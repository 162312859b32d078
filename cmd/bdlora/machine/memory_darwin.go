package machine

import "syscall"

// PeakMemory is the most memory that this process has had at a time, mapped weights
// included, and what says so.
func PeakMemory() (bytes int64, of string) {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return goMemory()
	}
	return usage.Maxrss, "getrusage" // bytes, unlike elsewhere
}
