package train

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"bdlora/data/durable"
)

// ManifestName is the file that makes a folder a checkpoint. It is written last.
const ManifestName = "manifest.json"

// manifestVersion counts changes of a checkpoint's layout that older programs
// would misread.
const manifestVersion = 1

// manifest lists what a checkpoint consists of.
type manifest struct {
	Version int            `json:"version"`
	Step    int            `json:"step"`
	Files   []manifestFile `json:"files"`
}

// manifestFile is one file: its path with forward slashes, size and SHA-256 in hex.
type manifestFile struct {
	Path   string `json:"path"`
	Bytes  int64  `json:"bytes"`
	SHA256 string `json:"sha256"`
}

// writeManifest lists all files in dir, in a new file there.
func writeManifest(dir string, step int) error {
	m := manifest{Version: manifestVersion, Step: step}
	err := fs.WalkDir(os.DirFS(dir), ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		file, err := hashFile(dir, path)
		m.Files = append(m.Files, file)
		return err
	})
	if err != nil {
		return err
	}
	text, err := json.MarshalIndent(m, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, ManifestName), append(text, '\n'), 0o666)
}

// readManifest reads the manifest of dir and checks that each file in it is there
// and is what it was, and that the required ones are in it.
func readManifest(dir string, required ...string) (*manifest, error) {
	text, err := os.ReadFile(filepath.Join(dir, ManifestName))
	if err != nil {
		return nil, err
	}
	m, err := parseManifest(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", ManifestName, err)
	}
	for _, path := range required {
		if !slices.ContainsFunc(m.Files, func(f manifestFile) bool { return f.Path == path }) {
			return nil, fmt.Errorf("%s: %s is not listed", ManifestName, path)
		}
	}
	for _, want := range m.Files {
		if err := want.check(dir); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func parseManifest(text []byte) (*manifest, error) {
	m := new(manifest)
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(m); err != nil {
		return nil, err
	}
	if m.Version != manifestVersion {
		return nil, fmt.Errorf("version is %d, want %d", m.Version, manifestVersion)
	}
	for _, f := range m.Files {
		if !filepath.IsLocal(filepath.FromSlash(f.Path)) {
			return nil, fmt.Errorf("path %q leads out of the folder", f.Path)
		}
	}
	return m, nil
}

// check compares the file as it is with the manifest's entry. The size, which
// costs nothing, comes first.
func (f manifestFile) check(dir string) error {
	info, err := os.Stat(filepath.Join(dir, filepath.FromSlash(f.Path)))
	if err != nil {
		return err
	}
	if info.Size() != f.Bytes {
		return fmt.Errorf("%s: size is %d bytes, want %d", f.Path, info.Size(), f.Bytes)
	}
	got, err := hashFile(dir, f.Path)
	if err != nil {
		return err
	}
	if got.SHA256 != f.SHA256 {
		return fmt.Errorf("%s: sha256 is %s, want %s", f.Path, got.SHA256, f.SHA256)
	}
	return nil
}

// hashFile is the entry of a file of dir.
func hashFile(dir, path string) (manifestFile, error) {
	size, sha, err := durable.Sum(filepath.Join(dir, filepath.FromSlash(path)))
	return manifestFile{Path: path, Bytes: size, SHA256: sha}, err
}
