package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// checkpointPrefix is before the step in a checkpoint's name.
const checkpointPrefix = "checkpoint-"

// CheckpointSteps are the steps of the checkpoints in outputDir, the newest first,
// broken ones included. There are none in a folder that is not there.
func CheckpointSteps(outputDir string) ([]int, error) {
	entries, err := os.ReadDir(outputDir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var steps []int
	for _, entry := range entries {
		if step, ok := checkpointStep(entry.Name()); ok && entry.IsDir() {
			steps = append(steps, step)
		}
	}
	slices.Sort(steps)
	slices.Reverse(steps)
	return steps, nil
}

// checkpointStep is the step in a checkpoint's name, if it is one.
func checkpointStep(name string) (step int, ok bool) {
	digits, ok := strings.CutPrefix(name, checkpointPrefix)
	step, err := strconv.Atoi(digits)
	return step, ok && err == nil && step >= 0 && digits == strconv.Itoa(step)
}

// Latest opens the newest checkpoint in outputDir that is whole. Those that it
// passed over are in skipped, each with its reason.
//
// It returns an error that is [ErrNoCheckpoint] if there is none, skipped ones or not.
func Latest(outputDir string) (c *Checkpoint, skipped []error, err error) {
	steps, err := CheckpointSteps(outputDir)
	if err != nil {
		return nil, nil, err
	}
	for _, step := range steps {
		c, err := OpenCheckpoint(CheckpointPath(outputDir, step))
		if err == nil {
			return c, skipped, nil
		}
		skipped = append(skipped, err)
	}
	return nil, skipped, fmt.Errorf("%s: %w", outputDir, ErrNoCheckpoint)
}

// Rotate removes checkpoints from outputDir until limit are left, the oldest first,
// and returns the paths of those that it removed. The one of the step just saved stays,
// and so does that of the step best, unless best is 0: with a limit of 1 there may
// be two. Checkpoints of later steps, which a run leaves that goes on from an
// earlier one, neither count nor go. A limit of 0 keeps all.
//
// A kill in the middle leaves a folder without a manifest, which the next call
// removes.
func Rotate(outputDir string, saved, best, limit int) (removed []string, err error) {
	steps, err := CheckpointSteps(outputDir)
	if err != nil || limit == 0 {
		return nil, err
	}
	for _, step := range outdated(steps, saved, best, limit) {
		dir := CheckpointPath(outputDir, step)
		if err := removeCheckpoint(dir); err != nil {
			return removed, err
		}
		removed = append(removed, dir)
	}
	return removed, nil
}

// outdated are those of the steps, newest first, that have to go.
func outdated(steps []int, saved, best, limit int) []int {
	kept := 1 // the one just saved
	if best > 0 && best != saved && slices.Contains(steps, best) {
		kept++
	}
	var outdated []int
	for _, step := range steps {
		switch {
		case step >= saved || step == best:
		case kept < limit:
			kept++
		default:
			outdated = append(outdated, step)
		}
	}
	slices.Reverse(outdated)
	return outdated
}

// removeCheckpoint removes the manifest first, so that what is half removed is
// never taken for whole.
func removeCheckpoint(dir string) error {
	if err := os.Remove(filepath.Join(dir, ManifestName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return os.RemoveAll(dir)
}
