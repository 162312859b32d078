package machine_test

import (
	"math"
	"os"
	"path/filepath"
	"strconv"
	"testing"

	"bdlora/cmd/bdlora/machine"
)

// writeNumber makes a file below dir with a number in it.
func writeNumber(t *testing.T, dir, name string, n int) {
	t.Helper()
	path := filepath.Join(dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(strconv.Itoa(n)+"\n"), 0o666); err != nil {
		t.Fatal(err)
	}
}

// Two packages, of which one counter starts anew at its end; what is in a package counts
// once.
func TestEnergyIsTheSumOfPackages(t *testing.T) {
	root := t.TempDir()
	writeNumber(t, root, "class/powercap/intel-rapl:0/energy_uj", 5_000_000)
	writeNumber(t, root, "class/powercap/intel-rapl:1/energy_uj", 9_000_000)
	writeNumber(t, root, "class/powercap/intel-rapl:1/max_energy_range_uj", 10_000_000)
	writeNumber(t, root, "class/powercap/intel-rapl:0:0/energy_uj", 1_000_000)
	m := machine.OpenEnergyMeter(root)
	if m == nil {
		t.Fatal("got no meter, want one")
	}
	for i, step := range []struct {
		name string
		to   int
		want float64
	}{
		{"class/powercap/intel-rapl:0:0/energy_uj", 900_000_000, 0},
		{"class/powercap/intel-rapl:0/energy_uj", 7_000_000, 2},
		{"class/powercap/intel-rapl:1/energy_uj", 500_000, 3.5},
		{"class/powercap/intel-rapl:1/energy_uj", 1_500_000, 4.5},
	} {
		writeNumber(t, root, step.name, step.to)
		if got := m.Joules(); math.Abs(got-step.want) > 1e-9 {
			t.Errorf("reading %d: got %g J, want %g", i, got, step.want)
		}
	}
}

func TestEnergyOfSensors(t *testing.T) {
	root := t.TempDir()
	if machine.OpenEnergyMeter(root) != nil {
		t.Error("an empty folder: got a meter, want none")
	}
	writeNumber(t, root, "class/hwmon/hwmon3/energy1_input", 1_000_000)
	m := machine.OpenEnergyMeter(root)
	writeNumber(t, root, "class/hwmon/hwmon3/energy1_input", 4_000_000)
	if got := m.Joules(); got != 3 {
		t.Errorf("got %g J, want 3", got)
	}
}
