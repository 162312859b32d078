package train

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"bdlora/data/durable"
)

// fill replaces or creates the folder path, which all processes have to see: own writes
// what a process holds, on each of the first replica, and then rest what there is to
// add, on the first process. It is a [SharedError] if one of them fails, and path is
// then as it was.
func (g *Grid) fill(path string, own, rest func(dir string) error) error {
	partial, err := g.begin(path)
	if g.first() {
		defer partial.Discard()
	}
	if err != nil {
		return err
	}
	if g.Replica == 0 {
		err = own(partial.Dir)
	}
	if err := g.agree(err); err != nil {
		return err
	}
	if g.first() {
		if err = rest(partial.Dir); err == nil {
			err = partial.Commit()
		}
	}
	return g.agree(err)
}

// begin makes a folder beside path on the first process, and finds it on the others, for
// whom it is but a place to write to.
func (g *Grid) begin(path string) (p *durable.Partial, err error) {
	p = &durable.Partial{}
	if g.first() {
		if err = os.MkdirAll(filepath.Dir(path), 0o777); err == nil {
			p, err = durable.Begin(path)
		}
	}
	if err := g.agree(err); err != nil {
		return p, err
	}
	if p.Dir, err = g.tell(p.Dir); err != nil {
		return p, err
	}
	if _, err = os.Stat(p.Dir); err != nil {
		err = fmt.Errorf("output_dir: want a folder on a disk that all processes share: %w", err)
	}
	return p, g.agree(err)
}

// checkShared refuses a folder that not all processes see.
func (g *Grid) checkShared(dir string) error {
	if g.World.Procs() == 1 {
		return nil
	}
	p, err := g.begin(filepath.Join(dir, "shared"))
	if g.first() {
		err = errors.Join(err, p.Discard())
	}
	return err
}
