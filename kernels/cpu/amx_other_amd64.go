//go:build !linux && !purego

package cpu

// allowAMX is false: only Linux is known to give tiles to a process.
func allowAMX() bool { return false }
