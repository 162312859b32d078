package ref_test

import (
	"testing"

	"bdlora/kernels/kernelstest"
	"bdlora/kernels/ref"
)

// The suite compares with the float64 backend itself; what it proves of that one is
// that it agrees with PyTorch and leaves alone what it should.
func TestFloat64Backend(t *testing.T) { kernelstest.Suite(t, ref.New[float64](), 1e-13) }

// Sums are float64 and each result is rounded once: half a unit in the last place.
func TestFloat32Backend(t *testing.T) { kernelstest.Suite(t, ref.New[float32](), 2e-7) }

func TestGradients(t *testing.T) { kernelstest.KernelGradients(t, ref.New[float64]()) }

func FuzzProducts(f *testing.F) { kernelstest.FuzzProducts(f, ref.New[float32](), 2e-7) }
