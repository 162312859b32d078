package durable

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
)

// Only from inside can the second of the two renames be made to fail.
func TestReplaceDirThatFailsPutsTheOldFolderBack(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "run")
	if err := os.Mkdir(path, 0o777); err != nil {
		t.Fatal(err)
	}
	if err := replaceDir(filepath.Join(parent, "absent"), path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
	}
	entries, err := os.ReadDir(parent)
	if err != nil || len(entries) != 1 || entries[0].Name() != "run" {
		t.Errorf("got %v, %v, want only the folder run", entries, err)
	}
}
