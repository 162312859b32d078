package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
)

// Dir replaces or creates the folder path with one that build fills. Build gets
// the path of an empty folder beside it and may use plain writes and sub-folders:
// Dir syncs all of them. The parent of path must exist.
//
// If build or the disk fails, path is as it was before and nothing is left beside
// it. If only the last step, syncing the parent, fails, the new folder is in place
// but may not survive a power cut.
//
// Where a folder is replaced, a kill between two renames can leave path absent,
// with the old folder beside it; [Clean] then puts that back.
func Dir(path string, build func(tmp string) error) error {
	partial := besideName(path, partialMark)
	if err := os.Mkdir(partial, 0o777); err != nil {
		return err
	}
	defer os.RemoveAll(partial) // no effect once renamed; also runs if build panics
	if err := build(partial); err != nil {
		return err
	}
	if err := syncTree(partial); err != nil {
		return err
	}
	if err := replaceDir(partial, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// replaceDir renames partial to path; a folder of that name goes out of the way
// first, and comes back if the rename fails.
func replaceDir(partial, path string) error {
	replaced := besideName(path, replacedMark)
	err := os.Rename(path, replaced)
	if errors.Is(err, fs.ErrNotExist) {
		return os.Rename(partial, path)
	}
	if err != nil {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return errors.Join(err, os.Rename(replaced, path))
	}
	if err := syncDir(filepath.Dir(path)); err != nil {
		return err
	}
	return os.RemoveAll(replaced)
}
