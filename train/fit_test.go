package train_test

import (
	"context"
	"errors"
	"os"
	"regexp"
	"strconv"
	"testing"

	"bdlora/kernels"
	"bdlora/kernels/comm"
	"bdlora/kernels/cpu"
	"bdlora/train"
)

// hungry is a Backend whose kernels say that they hold a million times as much as they
// do: terabytes for the smallest model.
type hungry struct{ *cpu.Backend }

func (h hungry) CountMemory() kernels.MemoryCounter { return hungryCounter{h.Backend.CountMemory()} }

type hungryCounter struct{ kernels.MemoryCounter }

func (h hungryCounter) Scratch() int64 { return h.MemoryCounter.Scratch() << 30 }

// Law: a run that cannot fit leaves nothing behind, and hears what would take less.
func TestRunThatCannotFitIsRefusedBeforeItStarts(t *testing.T) {
	cfg := runConfig(t)
	_, err := train.Run(context.Background(), cfg, hungry{cpu.New(1)}, comm.Alone(), &recorder{})
	if !errors.Is(err, train.ErrMemory) {
		t.Fatalf("got error %v, want %v", err, train.ErrMemory)
	}
	if _, err := os.Stat(cfg.OutputDir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("%s: got error %v, want no such folder", cfg.OutputDir, err)
	}
	lines := regexp.MustCompile(`(takes|(?:with|and) ([a-z_]+)=.*:) ([\d.]+) GiB`).FindAllStringSubmatch(err.Error(), -1)
	want := []string{"", "gradient_checkpointing", "per_device_train_batch_size", "base_dtype", "max_length"}
	if len(lines) != len(want) {
		t.Fatalf("got %q\nwant lines about %q", err, want)
	}
	least := 0.0
	for i, line := range lines {
		takes, err := strconv.ParseFloat(line[3], 64)
		if err != nil || line[2] != want[i] || i > 0 && takes > least {
			t.Errorf("line %d: got %q, want one about %q with at most %g", i, line[0], want[i], least)
		}
		least = takes
	}
	if takes, _ := strconv.ParseFloat(lines[0][3], 64); least > takes*3/4 {
		t.Errorf("all changes together: %g GiB, want less than three quarters of %g", least, takes)
	}
}
