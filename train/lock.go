package train

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"bdlora/data/durable"

	"github.com/gofrs/flock"
)

// lockName is the file in an output folder that the lock is held on. It stays when
// the lock goes, since a file that comes and goes could be locked twice.
const lockName = ".lock"

// OutputLock is the right to write an output folder. A nil one is that of a process for
// which another has it.
type OutputLock struct {
	lock    *flock.Flock
	created string // the folder, if LockOutput made it
}

// LockOutput creates the folder dir where there is none, takes the right to write it
// from all other processes of this machine, and removes what killed runs left half
// written. The system gives the right back when the process ends, however it ends.
//
// It returns an error that is [ErrOutputInUse] at once if another run has the right.
func LockOutput(dir string) (*OutputLock, error) {
	_, statErr := os.Stat(dir)
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	l := &OutputLock{lock: flock.New(filepath.Join(dir, lockName))}
	if errors.Is(statErr, fs.ErrNotExist) {
		l.created = dir
	}
	locked, err := l.lock.TryLock()
	if err != nil {
		return nil, fmt.Errorf("%s: %w", dir, err)
	}
	if !locked {
		return nil, fmt.Errorf("%s: %w", dir, ErrOutputInUse)
	}
	for _, folder := range []string{dir, filepath.Join(dir, "shards")} {
		if err := durable.Clean(folder); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return nil, errors.Join(err, l.Unlock())
		}
	}
	return l, nil
}

// lock takes the right to write the folder dir, on the first process for all of them, who
// have to see it.
func (g *Grid) lock(dir string) (l *OutputLock, err error) {
	if g.first() {
		l, err = LockOutput(dir)
	}
	if err = g.agree(err); err == nil {
		err = g.checkShared(dir)
	}
	if err != nil {
		l.Forget()
		return nil, errors.Join(err, l.Unlock())
	}
	return l, nil
}

// Forget removes the folder again if LockOutput made it and nothing but the lock is in
// it. It comes before Unlock.
func (l *OutputLock) Forget() {
	if l == nil || l.created == "" {
		return
	}
	if entries, err := os.ReadDir(l.created); err != nil || len(entries) > 1 {
		return
	}
	os.Remove(l.lock.Path())
	os.Remove(l.created)
}

// Unlock gives the right back.
func (l *OutputLock) Unlock() error {
	if l == nil {
		return nil
	}
	return l.lock.Close()
}
