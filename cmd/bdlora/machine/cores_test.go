package machine_test

import (
	"testing"

	"bdlora/cmd/bdlora/machine"
)

func TestBoundCoresAreSome(t *testing.T) {
	if cores := machine.BoundCores(); len(cores) == 0 || !cores.Overlap(cores) {
		t.Errorf("got cores %v, want at least one", cores)
	}
}

func TestCoresOverlapWhereTheyShareOne(t *testing.T) {
	low := machine.Cores{0, 1}
	if low.Overlap(machine.Cores{2, 3}) || !low.Overlap(machine.Cores{1, 2}) {
		t.Error("0-1 and 2-3 overlap, or 0-1 and 1-2 do not")
	}
}

func TestCoresJoinNeighbours(t *testing.T) {
	for want, cores := range map[string]machine.Cores{
		"": nil, "3": {3}, "0-3": {0, 1, 2, 3}, "0-1,4,6-8": {0, 1, 4, 6, 7, 8},
	} {
		if got := cores.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
