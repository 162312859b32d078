package manifest

import (
	"embed"
	"encoding/json"
	"regexp"
	"strings"
	"text/template"
)

// templates are what starts a job, and parts of it.
//
//go:embed templates
var templates embed.FS

// Text fills the template of that name, such as mpirun.sh or mpijob.yaml.
func (j Job) Text(name string) (string, error) {
	var files *template.Template
	files, err := template.New("").Funcs(template.FuncMap{
		"indent": indent, "items": yamlItems, "json": jsonText, "shell": shellWords,
		"part": func(name string, j Job) (string, error) { return filled(files, name, j) },
	}).ParseFS(templates, "templates/*")
	if err != nil {
		return "", err
	}
	return filled(files, name, j)
}

func filled(files *template.Template, name string, j Job) (string, error) {
	var b strings.Builder
	err := files.ExecuteTemplate(&b, name, j)
	return b.String(), err
}

// indent moves the lines of text to the right, and leaves out the last line's end.
func indent(spaces int, text string) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		if line != "" {
			lines[i] = strings.Repeat(" ", spaces) + line
		}
	}
	return strings.Join(lines, "\n")
}

// yamlItems is a list of strings in YAML.
func yamlItems(spaces int, items []string) (string, error) {
	var b strings.Builder
	for _, item := range items {
		text, err := jsonText(item)
		if err != nil {
			return "", err
		}
		b.WriteString("- " + text + "\n")
	}
	return indent(spaces, b.String()), nil
}

// jsonText is a string in JSON, and so in YAML.
func jsonText(text string) (string, error) {
	quoted, err := json.Marshal(text)
	return string(quoted), err
}

// plainWord needs no quotes in a shell.
var plainWord = regexp.MustCompile(`^[\w@%+=:,./-]+$`)

// shellWords is a command for a shell.
func shellWords(words []string) string {
	quoted := make([]string, len(words))
	for i, word := range words {
		quoted[i] = word
		if !plainWord.MatchString(word) {
			quoted[i] = "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
