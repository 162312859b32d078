package machine

import (
	"bufio"
	"fmt"
	"os"
)

// PeakMemory is the most memory that this process has had at a time, mapped weights
// included, and what says so.
func PeakMemory() (bytes int64, of string) {
	const key = "VmHWM"
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return goMemory()
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		var kibibytes int64
		if _, err := fmt.Sscanf(lines.Text(), key+": %d kB", &kibibytes); err == nil {
			return kibibytes << 10, key
		}
	}
	return goMemory()
}
