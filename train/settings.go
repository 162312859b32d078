package train

import (
	_ "embed" // for the source of Config, whose comments are the help of its settings
	"go/ast"
	"go/parser"
	"go/token"
	"reflect"
	"regexp"
	"strings"
)

//go:embed config.go
var configSource string

// Setting is one key of a run's configuration, for people.
type Setting struct {
	Key     string
	Aliases []string
	Doc     string // the comment of its field in [Config], in one line
	Switch  bool   // true or false
}

// Settings lists the settings in the order of [Config].
func Settings() []Setting {
	docs := fieldDocs("Config")
	var all []Setting
	for _, f := range fields() {
		kind := reflect.TypeFor[Config]().Field(f.index).Type.Kind()
		all = append(all, Setting{Key: f.key, Aliases: f.aliases, Doc: withKeys(docs[f.index]), Switch: kind == reflect.Bool})
	}
	return all
}

// withKeys writes a comment's names of fields as their keys.
func withKeys(doc string) string {
	t := reflect.TypeFor[Config]()
	return word.ReplaceAllStringFunc(doc, func(name string) string {
		if f, ok := t.FieldByName(name); ok {
			return f.Tag.Get("yaml")
		}
		return name
	})
}

var word = regexp.MustCompile(`[A-Za-z0-9]+`)

// fieldDocs are the comments of the fields of a struct in config.go, without their
// first word, the field's name in Go.
func fieldDocs(name string) []string {
	file, err := parser.ParseFile(token.NewFileSet(), "config.go", configSource, parser.ParseComments)
	if err != nil {
		panic("train: " + err.Error()) // it has been compiled
	}
	var docs []string
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.TypeSpec)
		if !ok || spec.Name.Name != name {
			return true
		}
		for _, field := range spec.Type.(*ast.StructType).Fields.List {
			_, doc, _ := strings.Cut(strings.Join(strings.Fields(field.Doc.Text()), " "), " ")
			docs = append(docs, doc)
		}
		return false
	})
	return docs
}
