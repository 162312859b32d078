package train

import (
	"fmt"
	"os"
	"path/filepath"

	"bdlora/data/durable"
)

// fill replaces or creates the folder path, which all processes have to see: own writes
// what a process holds, on each of the first replica, and then rest what there is to
// add, on the first process. It is a [SharedError] if one of them fails, and path is
// then as it was.
func (g *Grid) fill(path string, own, rest func(dir string) error) (err error) {
	partial := &durable.Partial{}
	if g.first() {
		if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
			partial, err = durable.Begin(path)
		}
		defer func() { partial.Discard() }()
	}
	if err := g.agree(err); err != nil {
		return err
	}
	dir, err := g.tell(partial.Dir)
	if err != nil {
		return err
	}
	if err := g.agree(g.fillOwn(dir, own)); err != nil {
		return err
	}
	if g.first() {
		if err = rest(dir); err == nil {
			err = partial.Commit()
		}
	}
	return g.agree(err)
}

// fillOwn writes the process's part into a folder that the first process has made.
func (g *Grid) fillOwn(dir string, own func(dir string) error) error {
	if _, err := os.Stat(dir); err != nil {
		return fmt.Errorf("output_dir: want a folder on a disk that all processes share: %w", err)
	}
	if g.Replica > 0 {
		return nil
	}
	return own(dir)
}
