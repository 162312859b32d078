package machine

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// EnergyMeter reads the counters of energy that the system keeps: those of processor
// packages in its powercap folder (RAPL), or else those of its sensors.
type EnergyMeter struct {
	counters []*energyCounter
}

// energyCounter is a file that holds microjoules. It starts anew where it ends.
type energyCounter struct {
	path      string
	last, end float64 // microjoules; end 0 is not known
	joules    float64 // since the meter was opened
}

// OpenEnergyMeter finds the counters below root, /sys but for tests. It is nil where
// there are none that may be read.
func OpenEnergyMeter(root string) *EnergyMeter {
	for _, pattern := range []string{"class/powercap/*rapl:[0-9]/energy_uj", "class/hwmon/*/energy*_input"} {
		paths, err := filepath.Glob(filepath.Join(root, pattern))
		if err != nil {
			continue // a root with a bracket in its name
		}
		m := &EnergyMeter{}
		for _, path := range paths {
			if now, ok := microjoules(path); ok {
				end, _ := microjoules(filepath.Join(filepath.Dir(path), "max_energy_range_uj"))
				m.counters = append(m.counters, &energyCounter{path: path, last: now, end: end})
			}
		}
		if len(m.counters) > 0 {
			return m
		}
	}
	return nil
}

// Joules is what the machine has used since the meter was opened.
func (m *EnergyMeter) Joules() float64 {
	sum := 0.0
	for _, c := range m.counters {
		if now, ok := microjoules(c.path); ok {
			used := now - c.last
			if used < 0 {
				used += c.end
			}
			c.last, c.joules = now, c.joules+max(0, used)/1e6
		}
		sum += c.joules
	}
	return sum
}

// microjoules reads a counter.
func microjoules(path string) (float64, bool) {
	text, err := os.ReadFile(path)
	if err != nil {
		return 0, false
	}
	n, err := strconv.ParseFloat(strings.TrimSpace(string(text)), 64)
	return n, err == nil
}
