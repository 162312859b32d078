package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
)

// onWindows tells that folders cannot be synced, and files only when writable.
const onWindows = runtime.GOOS == "windows"

// syncTree syncs root and every regular file and folder below it.
func syncTree(root string) error {
	return filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir():
			return syncDir(path)
		case entry.Type().IsRegular():
			return syncFile(path)
		}
		return nil
	})
}

func syncDir(path string) error {
	if onWindows {
		return nil
	}
	return syncPath(path, os.O_RDONLY)
}

func syncFile(path string) error {
	if onWindows {
		return syncPath(path, os.O_RDWR)
	}
	return syncPath(path, os.O_RDONLY)
}

func syncPath(path string, flag int) error {
	file, err := os.OpenFile(path, flag, 0)
	if err != nil {
		return err
	}
	return errors.Join(file.Sync(), file.Close())
}
