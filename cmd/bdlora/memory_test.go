package main

import (
	"bytes"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"
)

// Law: a run takes what it has said that it would take, within a tenth.
func TestPredictedMemoryIsWhatARunTakes(t *testing.T) {
	const tolerance = 0.1
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("the peak of another process's memory is read from /proc, which this system has not")
	}
	if testing.Short() {
		t.Skip("builds the program and trains with it three times")
	}
	dir := unpacked(t)
	program := filepath.Join(dir, "bdlora")
	if out, err := exec.Command("go", "build", "-o", program, ".").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for i, settings := range [][]string{
		{"nblocks=1", "val_size=0"},
		{"nblocks=4", "per_device_eval_batch_size=48"},
		{"nblocks=4", "gradient_checkpointing=true"},
	} {
		t.Run(strings.Join(settings, " "), func(t *testing.T) {
			settings = append(settings, "per_device_train_batch_size=24", "output_dir="+filepath.Join(dir, fmt.Sprint(i)))
			predicted, measured := peakOf(t, exec.Command(program, shortRun(dir, settings...)...))
			t.Logf("predicted %.1f MiB, measured %.1f MiB", predicted, measured)
			if math.Abs(predicted-measured) > tolerance*measured {
				t.Errorf("predicted %.1f MiB, want the measured %.1f MiB within %g", predicted, measured, tolerance)
			}
		})
	}
}

// peakOf runs a training and returns the memory that it predicts and that it takes,
// in MiB. What a process has taken is read while it lives: what the system says when
// it has ended counts this one's memory as well.
func peakOf(t *testing.T, run *exec.Cmd) (predicted, measured float64) {
	t.Helper()
	var says bytes.Buffer
	run.Stderr = &says
	if err := run.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() { ended <- run.Wait() }()
	for {
		select {
		case err := <-ended:
			line := regexp.MustCompile(`memory: ([\d.]+) MiB`).FindSubmatch(says.Bytes())
			if err != nil || line == nil {
				t.Fatalf("%v\n%s", err, says.Bytes())
			}
			predicted, err = strconv.ParseFloat(string(line[1]), 64)
			if err != nil {
				t.Fatal(err)
			}
			return predicted, measured
		case <-time.After(2 * time.Millisecond):
			text, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", run.Process.Pid)) // gone at its end
			if _, after, ok := bytes.Cut(text, []byte("VmHWM:")); ok {
				var kibibytes float64
				fmt.Sscan(string(after), &kibibytes)
				measured = kibibytes / 1024
			}
		}
	}
}
