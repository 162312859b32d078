package kernelstest

import (
	"slices"
	"testing"

	"bdlora/kernels"
)

// RunCheck runs the part of [Suite] of that name.
func RunCheck(t testing.TB, name string, be kernels.Backend, tolerance float64) {
	all := slices.Concat(kernelChecks(), backendChecks())
	all[slices.IndexFunc(all, func(c check) bool { return c.name == name })].run(t, newLab(be, tolerance))
}
