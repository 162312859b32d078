package train

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"

	"go.yaml.in/yaml/v4"
)

// ReadConfig is [DefaultConfig] with the settings of the YAML file path, and over
// them overrides, each "key=value" as given on the command line, where dashes may
// stand for the key's underscores. An empty path reads no file. A setting without a
// value (null) keeps its default.
//
// All that is wrong is reported at once, by line or by override and key: an unknown
// key with the nearest known one, a key given twice or under two names, a value of
// the wrong type, and whatever [Config.Validate] finds.
func ReadConfig(path string, overrides []string) (Config, error) {
	r := newConfigReader()
	if path != "" {
		text, err := os.ReadFile(path)
		if err != nil {
			return Config{}, err
		}
		r.file(path, text)
	}
	r.overrides(overrides)
	return r.finish(path)
}

// ParseConfig is [ReadConfig] of a file's text; name stands for its path in
// messages.
func ParseConfig(name string, text []byte) (Config, error) {
	r := newConfigReader()
	r.file(name, text)
	return r.finish(name)
}

// configReader collects settings and what is wrong with them.
type configReader struct {
	config Config
	byName map[string]field
	failed map[string]bool // keys whose value could not be read
	errs   []error
}

func newConfigReader() *configReader {
	return &configReader{config: DefaultConfig(), byName: fieldsByName(), failed: map[string]bool{}}
}

// report notes what is wrong at a place, a file's line or an override.
func (r *configReader) report(place, format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf("%s: %s", place, fmt.Sprintf(format, args...)))
}

// finish fills in what depends on other settings and validates. Settings that could
// not be read are not reported again.
func (r *configReader) finish(name string) (Config, error) {
	if r.config.LoraR == 0 && r.config.MatchLoraRank == 0 && !r.failed["lora_r"] {
		r.config.MatchLoraRank = defaultMatchLoraRank
	}
	if name == "" {
		name = "config"
	}
	for _, p := range r.config.problems() {
		if !r.failed[p.key] {
			r.report(name, "%s", p)
		}
	}
	if err := errors.Join(r.errs...); err != nil {
		return Config{}, err
	}
	return r.config, nil
}

// file takes the settings of a YAML file: one document, a mapping.
func (r *configReader) file(path string, text []byte) {
	var root yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&root); err != nil {
		if len(bytes.TrimSpace(text)) > 0 && !isEOF(err) {
			r.report(path, "%s", oneLine(err))
		}
		return
	}
	if !isEOF(decoder.Decode(new(yaml.Node))) {
		r.report(path, "got a second document, want one")
	}
	body := resolve(root.Content[0])
	if isNull(body) {
		return
	}
	if body.Kind != yaml.MappingNode {
		r.report(at(path, body), "got %s, want key: value lines", describe(body))
		return
	}
	r.mapping(path, body)
}

// mapping takes the settings of a YAML mapping.
func (r *configReader) mapping(path string, body *yaml.Node) {
	seen := map[string]*yaml.Node{} // the first use of a key, under whatever name
	for i := 0; i+1 < len(body.Content); i += 2 {
		key, value := resolve(body.Content[i]), resolve(body.Content[i+1])
		f, ok := r.lookUp(at(path, key), key.Value)
		if !ok {
			continue
		}
		if first, ok := seen[f.key]; ok {
			r.report(at(path, key), "%s: got it a second time, want it once: line %d has %s",
				key.Value, first.Line, first.Value)
			continue
		}
		seen[f.key] = key
		if err := setNode(r.value(f), value); err != nil {
			r.failed[f.key] = true
			r.report(at(path, value), "%s: %v", key.Value, err)
		}
	}
}

// overrides takes settings of the form key=value.
func (r *configReader) overrides(args []string) {
	seen := map[string]string{}
	for _, arg := range args {
		place := fmt.Sprintf("override %q", arg)
		name, text, ok := strings.Cut(arg, "=")
		if !ok {
			r.report(place, "got no value, want key=value")
			continue
		}
		f, ok := r.lookUp(place, strings.ReplaceAll(name, "-", "_"))
		if !ok {
			continue
		}
		if first, ok := seen[f.key]; ok {
			r.report(place, "%s: got it a second time, want it once: there is %q", f.key, first)
			continue
		}
		seen[f.key] = arg
		if err := setText(r.value(f), text); err != nil {
			r.failed[f.key] = true
			r.report(place, "%s: %v", f.key, err)
		}
	}
}

// lookUp is the setting of a name; an unknown one is reported.
func (r *configReader) lookUp(place, name string) (field, bool) {
	f, ok := r.byName[name]
	if !ok {
		r.report(place, "unknown key %q%s", name, suggestion(name, r.byName))
	}
	return f, ok
}

func (r *configReader) value(f field) reflect.Value {
	return reflect.ValueOf(&r.config).Elem().Field(f.index)
}
