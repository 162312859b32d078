package durable_test

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"bdlora/data/durable"
)

var errDisk = errors.New("disk full")

func TestWriteFileReplacesWhole(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.bin")
	for _, want := range []string{"first", "", strings.Repeat("longer than the buffer ", 50_000)} {
		if err := durable.WriteBytes(path, []byte(want)); err != nil {
			t.Fatal(err)
		}
		wantTree(t, dir, map[string]string{"state.bin": want})
	}
}

func TestWriteFileThatFailsLeavesTheOldFile(t *testing.T) {
	for _, test := range []struct {
		name  string
		write func(w io.Writer) error
		want  error
	}{
		{"at once", func(io.Writer) error { return errDisk }, errDisk},
		{"in the middle", func(w io.Writer) error {
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
			return errDisk
		}, errDisk},
	} {
		t.Run(test.name, func(t *testing.T) {
			dir := t.TempDir()
			wantNoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o666))
			if err := durable.WriteFile(filepath.Join(dir, "a"), test.write); !errors.Is(err, test.want) {
				t.Errorf("got error %v, want %v", err, test.want)
			}
			wantTree(t, dir, map[string]string{"a": "old"})
		})
	}
}

func TestWriteFileOntoAFolderFails(t *testing.T) {
	dir := t.TempDir()
	wantNoError(t, os.MkdirAll(filepath.Join(dir, "a"), 0o777))
	wantNoError(t, os.WriteFile(filepath.Join(dir, "a", "x"), []byte("old"), 0o666))
	if err := durable.WriteBytes(filepath.Join(dir, "a"), []byte("new")); err == nil {
		t.Error("got no error, want one")
	}
	wantTree(t, dir, map[string]string{"a/x": "old"})
}

func TestAPanicLeavesTheOldState(t *testing.T) {
	dir := t.TempDir()
	wantNoError(t, os.WriteFile(filepath.Join(dir, "a"), []byte("old"), 0o666))
	for _, f := range []func(){
		func() { durable.WriteFile(filepath.Join(dir, "a"), func(io.Writer) error { panic("bug") }) },
		func() { durable.Dir(filepath.Join(dir, "b"), func(string) error { panic("bug") }) },
	} {
		func() {
			defer func() {
				if got := recover(); got != "bug" {
					t.Errorf("got panic %v, want it passed on", got)
				}
			}()
			f()
		}()
	}
	wantTree(t, dir, map[string]string{"a": "old"})
}

func TestDirCreatesAndReplacesWhole(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "checkpoint-10")
	for _, files := range []map[string]string{
		{"a": "1", "shards/b": "2"},
		{"c": "3"},
	} {
		if err := durable.Dir(path, func(tmp string) error { return writeTree(tmp, files) }); err != nil {
			t.Fatal(err)
		}
		wantTree(t, path, files)
	}
	wantTree(t, parent, map[string]string{"checkpoint-10/c": "3"})
}

func TestDirThatFailsLeavesTheOldFolder(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "run")
	wantNoError(t, writeTree(path, map[string]string{"a": "old"}))
	err := durable.Dir(path, func(tmp string) error {
		wantNoError(t, writeTree(tmp, map[string]string{"a": "new", "b/c": "new"}))
		return errDisk
	})
	if !errors.Is(err, errDisk) {
		t.Errorf("got error %v, want %v", err, errDisk)
	}
	wantTree(t, parent, map[string]string{"run/a": "old"})
}

func TestPartialFolderTakesItsPlaceOrGoes(t *testing.T) {
	parent := t.TempDir()
	path := filepath.Join(parent, "run")
	for _, content := range []string{"discarded", "kept"} {
		p, err := durable.Begin(path)
		wantNoError(t, err)
		wantNoError(t, writeTree(p.Dir, map[string]string{"a": content}))
		if content == "kept" {
			wantNoError(t, p.Commit())
		}
		wantNoError(t, p.Discard())
	}
	wantTree(t, parent, map[string]string{"run/a": "kept"})
}

// TestKilledWriters runs this test program again, which exits in the middle of
// writing: nothing deferred runs, as after a kill.
func TestKilledWriters(t *testing.T) {
	if dir := os.Getenv("BDLORA_TEST_DURABLE_DIR"); dir != "" {
		exitInTheMiddle(dir)
	}
	parent := t.TempDir()
	want := map[string]string{"run/a": "old", "file": "old", ".hidden": "kept"}
	wantNoError(t, writeTree(parent, want))
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilledWriters$")
	cmd.Env = append(os.Environ(), "BDLORA_TEST_DURABLE_DIR="+parent)
	out, err := cmd.CombinedOutput()
	if exit := new(exec.ExitError); !errors.As(err, &exit) || exit.ExitCode() != 137 {
		t.Fatalf("got %v, want exit code 137\n%s", err, out)
	}
	if got := len(tree(t, parent)); got != len(want)+2 {
		t.Errorf("got %d files after the kill, want the %d old and 2 partial ones", got, len(want))
	}
	wantNoError(t, durable.Clean(parent))
	wantTree(t, parent, want)
}

func exitInTheMiddle(dir string) {
	durable.Dir(filepath.Join(dir, "run"), func(tmp string) error {
		writeTree(tmp, map[string]string{"a": "new"})
		return durable.WriteFile(filepath.Join(dir, "file"), func(w io.Writer) error {
			fmt.Fprint(w, strings.Repeat("x", 1<<20))
			os.Exit(137)
			return nil
		})
	})
}

func TestCleanFinishesACutReplacement(t *testing.T) {
	const replaced = ".run.replaced-ABCDEFGHIJKLMNOPQRSTUVWXYZ/a"
	for _, test := range []struct {
		name       string
		tree, want map[string]string
	}{
		{"successor missing", map[string]string{replaced: "old"}, map[string]string{"run/a": "old"}},
		{"successor in place", map[string]string{replaced: "old", "run/a": "new"}, map[string]string{"run/a": "new"}},
		{
			"only look-alikes",
			map[string]string{".run.replaced-SHORT/a": "1", "run.partial-ABCDEFGHIJKLMNOPQRSTUVWXYZ": "2"},
			map[string]string{".run.replaced-SHORT/a": "1", "run.partial-ABCDEFGHIJKLMNOPQRSTUVWXYZ": "2"},
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			parent := t.TempDir()
			wantNoError(t, writeTree(parent, test.tree))
			wantNoError(t, durable.Clean(parent))
			wantTree(t, parent, test.want)
		})
	}
}

func TestAnAbsentFolderIsClean(t *testing.T) {
	wantNoError(t, durable.Clean(filepath.Join(t.TempDir(), "absent")))
}

func TestParentMustExist(t *testing.T) {
	path := filepath.Join(t.TempDir(), "absent", "a")
	for name, err := range map[string]error{
		"WriteBytes": durable.WriteBytes(path, nil),
		"Dir":        durable.Dir(path, func(string) error { return nil }),
	} {
		if !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: got error %v, want %v", name, err, fs.ErrNotExist)
		}
	}
}

func writeTree(root string, files map[string]string) error {
	for name, content := range files {
		path := filepath.Join(root, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(content), 0o666); err != nil {
			return err
		}
	}
	return nil
}

// tree lists all files and empty folders below root, by slash-separated name.
func tree(t *testing.T, root string) []string {
	t.Helper()
	var names []string
	fsys := os.DirFS(root)
	err := fs.WalkDir(fsys, ".", func(name string, _ fs.DirEntry, err error) error {
		if children, _ := fs.ReadDir(fsys, name); len(children) == 0 {
			names = append(names, name)
		}
		return err
	})
	wantNoError(t, err)
	return names
}

func wantTree(t *testing.T, root string, want map[string]string) {
	t.Helper()
	for _, name := range tree(t, root) {
		if _, ok := want[name]; !ok {
			t.Errorf("got file %s, want only %d files", name, len(want))
		}
	}
	for name, content := range want {
		got, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil || string(got) != content {
			t.Errorf("%s: got %d bytes (%.20q…), %v, want %d bytes", name, len(got), got, err, len(content))
		}
	}
}

func wantNoError(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestSumIsThatOfTheContent(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := durable.WriteBytes(path, []byte("abc")); err != nil {
		t.Fatal(err)
	}
	// Source: FIPS 180-2, appendix B.1.
	const want = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
	if size, sha, err := durable.Sum(path); size != 3 || sha != want || err != nil {
		t.Errorf("got %d, %s, %v; want 3, %s", size, sha, err, want)
	}
}

func TestFingerprintOfASmallFileIsItsSum(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, []byte("content"), 0o666); err != nil {
		t.Fatal(err)
	}
	_, sum, err := durable.Sum(path)
	if err != nil {
		t.Fatal(err)
	}
	size, got, err := durable.Fingerprint(path, 32<<20)
	if err != nil || size != 7 || got != "sha256:"+sum {
		t.Errorf("got %d bytes of %s and error %v, want 7 of sha256:%s", size, got, err, sum)
	}
	if _, _, err := durable.Fingerprint(path+"x", 32<<20); err == nil {
		t.Error("got no error for a file that is not there")
	}
}
