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
	p, err := Begin(path)
	if err != nil {
		return err
	}
	defer p.Discard() // also runs if build panics
	if err := build(p.Dir); err != nil {
		return err
	}
	return p.Commit()
}

// Partial is a folder that is being filled, to take its place in the end: a [Dir] for
// those who fill it in several steps, or from several processes.
type Partial struct {
	Dir   string // the empty folder to fill
	place string
}

// Begin makes a folder beside path, whose parent must exist.
func Begin(path string) (*Partial, error) {
	p := &Partial{Dir: besideName(path, partialMark), place: path}
	return p, os.Mkdir(p.Dir, 0o777)
}

// Commit syncs the folder and puts it in its place, once; it fails as [Dir] does. What
// other machines wrote into it they have to sync themselves.
func (p *Partial) Commit() error {
	if err := syncTree(p.Dir); err != nil {
		return err
	}
	if err := replaceDir(p.Dir, p.place); err != nil {
		return err
	}
	return syncDir(filepath.Dir(p.place))
}

// Discard removes the folder, if it is not in its place yet.
func (p *Partial) Discard() error { return os.RemoveAll(p.Dir) }

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
