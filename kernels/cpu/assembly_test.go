package cpu_test

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

var (
	vectorOperand = regexp.MustCompile(`\b[XYZ][0-9]+\b`)
	textLine      = regexp.MustCompile(`^TEXT ·(\w+)`)
)

// One legacy SSE instruction between dirty upper halves costs hundreds of
// nanoseconds, and so does whatever Go code does next if a routine leaves them dirty.
func TestAssemblyLeavesUpperHalvesClean(t *testing.T) {
	source, err := os.ReadFile("routines_amd64.s")
	if err != nil {
		t.Fatal(err)
	}
	routine, last, vectors, returns := "", "", false, 0
	for i, line := range strings.Split(string(source), "\n") {
		if m := textLine.FindStringSubmatch(line); m != nil {
			routine, vectors = m[1], false
		}
		fields := strings.Fields(line)
		if len(fields) == 0 || strings.HasSuffix(fields[0], ":") || strings.HasPrefix(fields[0], "/") {
			continue
		}
		if vectorOperand.MatchString(line) {
			vectors = true
			if !strings.HasPrefix(fields[0], "V") {
				t.Errorf("routines_amd64.s:%d: %s uses legacy %s", i+1, routine, fields[0])
			}
		}
		if fields[0] == "RET" {
			returns++
			if vectors && last != "VZEROUPPER" {
				t.Errorf("routines_amd64.s:%d: %s returns after %s, want VZEROUPPER", i+1, routine, last)
			}
		}
		last = fields[0]
	}
	if returns < 25 {
		t.Errorf("found %d returns: this test does not see the routines", returns)
	}
}
