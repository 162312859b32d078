package parts

import (
	"reflect"
	"testing"
	"time"

	"bdlora/kernels"
)

// Law: whatever computes has a part of the step to count for.
func TestEveryKernelIsAPartOfTheStep(t *testing.T) {
	for _, group := range []reflect.Type{
		reflect.TypeFor[kernels.Products](), reflect.TypeFor[kernels.Elementwise](),
		reflect.TypeFor[kernels.Attention](), reflect.TypeFor[kernels.Optimizer](),
	} {
		for i := range group.NumMethod() {
			if name := group.Method(i).Name; partOf(name, false) == rest {
				t.Errorf("%s is no part of a step", name)
			}
		}
	}
}

// Law: addends are the adapters' operations, in the linears' time; so adapters have no
// rate of their own then.
func TestPartsGiveAddendsToTheAdapters(t *testing.T) {
	w, head := &kernels.Weight{Name: "w"}, &kernels.Weight{Name: "lm_head"}
	s := &Sums{}
	s.Add(kernels.Call{Kernel: "Linear", Weight: w, Time: time.Second, Flops: 3e9, AddendFlops: 1e9}, "lm_head")
	s.Add(kernels.Call{Kernel: "Linear", Weight: head, Time: time.Second, Flops: 5e9}, "lm_head")
	s.Add(kernels.Call{Kernel: "MatMul", Time: time.Second, Flops: 2e9}, "lm_head")
	r := s.Report(4)
	for part, want := range map[int]Part{
		linearsForward: {"linears forward", 1, 1, 0.25, 3, 3},
		headAndLoss:    {"head and loss", 1, 1, 0.25, 5, 5},
		adapters:       {"adapters", 1, 1, 0.25, 3, 0},
		rest:           {"rest", 0, 1, 0.25, 0, 0},
	} {
		if r[part] != want {
			t.Errorf("got %+v, want %+v", r[part], want)
		}
	}
}
