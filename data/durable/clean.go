package durable

import (
	"crypto/rand"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
)

const (
	partialMark  = "partial"  // being built, never complete
	replacedMark = "replaced" // was complete, makes room for its successor
)

// besideName is a fresh name in the folder of path: .NAME.MARK-RANDOM.
func besideName(path, mark string) string {
	dir, base := filepath.Split(filepath.Clean(path))
	return filepath.Join(dir, "."+base+"."+mark+"-"+rand.Text())
}

// Clean removes from the folder dir what killed calls of [WriteFile] and [Dir]
// left behind, and puts a folder back whose replacement was cut short. It does not
// look into sub-folders. A dir that does not exist is clean.
//
// Nobody may be writing into dir meanwhile: Clean cannot tell a dead process's
// files from a living one's.
func Clean(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	leftover := regexp.MustCompile(`^\.(.+)\.(` + partialMark + `|` + replacedMark + `)-[A-Z2-7]{26}$`)
	var errs []error
	for _, entry := range entries {
		if m := leftover.FindStringSubmatch(entry.Name()); m != nil {
			path := filepath.Join(dir, entry.Name())
			errs = append(errs, cleanOne(path, filepath.Join(dir, m[1]), m[2]))
		}
	}
	errs = append(errs, syncDir(dir))
	return errors.Join(errs...)
}

// cleanOne restores path to place if it is a complete folder that has no successor
// there, and removes it otherwise.
func cleanOne(path, place, mark string) error {
	if mark == replacedMark {
		if _, err := os.Lstat(place); errors.Is(err, fs.ErrNotExist) {
			return os.Rename(path, place)
		}
	}
	return os.RemoveAll(path)
}
