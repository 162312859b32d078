//go:build !linux

package main

import "runtime"

// boundCores are the cores that this process may run on: all, where the system binds
// it to none.
func boundCores() []int { return firstCores(runtime.NumCPU()) }
