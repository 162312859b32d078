package durable

import (
	"bufio"
	"errors"
	"io"
	"os"
	"path/filepath"
)

// bufferBytes is how much WriteFile collects before it writes to the file.
const bufferBytes = 256 << 10

// WriteFile replaces or creates the file path with what write puts into w, which
// is buffered. The folder of path must exist. A new file has mode 0666 before
// umask; a symbolic link is replaced, not followed.
//
// If write or the disk fails, path is as it was before and nothing is left beside
// it. If only the last step, syncing the folder, fails, the new file is in place
// but may not survive a power cut.
func WriteFile(path string, write func(w io.Writer) error) error {
	partial := besideName(path, partialMark)
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	defer func() { // no effect once closed and renamed; also runs if write panics
		file.Close()
		os.Remove(partial)
	}()
	if err := fill(file, write); err != nil {
		return err
	}
	if err := os.Rename(partial, path); err != nil {
		return err
	}
	return syncDir(filepath.Dir(path))
}

// WriteBytes is [WriteFile] of data.
func WriteBytes(path string, data []byte) error {
	return WriteFile(path, func(w io.Writer) error {
		_, err := w.Write(data)
		return err
	})
}

// fill writes, syncs and closes file.
func fill(file *os.File, write func(w io.Writer) error) error {
	w := bufio.NewWriterSize(file, bufferBytes)
	if err := write(w); err != nil {
		return err
	}
	return errors.Join(w.Flush(), file.Sync(), file.Close())
}
