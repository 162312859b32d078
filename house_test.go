// Package bdlora_test holds the rules of the house that no single package can
// check of itself.
package bdlora_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "bdlora/"

// layers are the top folders from the top down. A package imports its own folder and
// those below it; kernels and data stand side by side.
var layers = []string{"examples", "cmd", "train", "model", "bdlora", "kernels", "data"}

// eachFile parses every Go file of the module. It reads the files themselves: go list
// would leave out those behind build tags, and the test cache would not see a change.
func eachFile(t *testing.T, mode parser.Mode, visit func(path string, files *token.FileSet, file *ast.File)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || !strings.HasSuffix(path, ".go") {
			return err
		}
		files := token.NewFileSet()
		file, err := parser.ParseFile(files, path, nil, mode)
		if err == nil {
			seen++
			visit(filepath.ToSlash(path), files, file)
		}
		return err
	})
	if err != nil || seen < 50 {
		t.Fatalf("read %d files and got error %v, want all of the module", seen, err)
	}
}

func TestImportsPointDown(t *testing.T) {
	eachFile(t, parser.ImportsOnly, func(path string, _ *token.FileSet, file *ast.File) {
		from, _, inFolder := strings.Cut(path, "/")
		if !inFolder {
			return
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value)
			rest, ours := strings.CutPrefix(imported, module)
			to, _, _ := strings.Cut(rest, "/")
			upper, lower := slices.Index(layers, from), slices.Index(layers, to)
			if ours && (upper < 0 || lower < upper || from == "kernels" && to == "data") {
				t.Errorf("%s imports %s: want %v in that order, each only downwards", path, imported, layers)
			}
		}
	})
}

func TestFunctionsAreShort(t *testing.T) {
	const most = 100
	eachFile(t, parser.SkipObjectResolution, func(path string, files *token.FileSet, file *ast.File) {
		for _, decl := range file.Decls {
			f, ok := decl.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			if lines := files.Position(f.End()).Line - files.Position(f.Pos()).Line + 1; lines > most {
				t.Errorf("%s: %s has %d lines, want at most %d", path, f.Name.Name, lines, most)
			}
		}
	})
}
