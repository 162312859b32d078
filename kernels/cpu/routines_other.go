//go:build (!amd64 && !arm64) || purego

package cpu

// supported are the sets of routines that this processor runs, best first.
func supported() []*routines { return []*routines{generic()} }
