package machine

import (
	"runtime"

	"golang.org/x/sys/unix"
)

// BoundCores are the cores that this process may run on.
func BoundCores() Cores {
	var set unix.CPUSet
	if unix.SchedGetaffinity(0, &set) != nil {
		return firstCores(runtime.NumCPU())
	}
	var cores Cores
	for core := 0; len(cores) < set.Count(); core++ {
		if set.IsSet(core) {
			cores = append(cores, core)
		}
	}
	return cores
}
