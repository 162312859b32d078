//go:build !linux

package machine

import "runtime"

// BoundCores are the cores that this process may run on: all, where the system binds
// it to none.
func BoundCores() Cores { return firstCores(runtime.NumCPU()) }
