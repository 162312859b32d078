package manifest_test

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

// Law: what dist manifest prints for Kubernetes fits the operators' own schemas, and
// has no field that they do not know. .ci/manifests brings the schemas.
func TestManifestsFitTheOperatorsSchemas(t *testing.T) {
	const variable = "BDLORA_TEST_CRDS" // files, with colons between them
	if os.Getenv(variable) == "" {
		t.Skip(variable + " names no schemas: bash .ci/manifests does")
	}
	schemas := map[string]map[string]any{}
	for _, path := range filepath.SplitList(os.Getenv(variable)) {
		readSchemas(t, schemas, path)
	}
	checked := 0
	for _, kind := range []string{"mpijob.yaml", "trainjob.yaml"} {
		for _, object := range yamlObjects(t, inPods(t, kind, "dataset: x\n")) {
			name := fmt.Sprint(object["apiVersion"], " ", object["kind"])
			schema, ok := schemas[name]
			if !ok && object["kind"] != "ConfigMap" {
				t.Errorf("%s: got an object of %s, which no schema describes", kind, name)
			}
			if !ok {
				continue
			}
			checked++
			for _, problem := range misfits(schema, object, name) {
				t.Error(problem)
			}
		}
	}
	if checked != 3 {
		t.Errorf("checked %d objects, want 3", checked)
	}
}

// readSchemas adds those of a CustomResourceDefinition, by version and kind.
func readSchemas(t *testing.T, schemas map[string]map[string]any, path string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var crd struct {
		Spec struct {
			Group    string
			Names    struct{ Kind string }
			Versions []struct {
				Name   string
				Schema struct {
					OpenAPIV3Schema map[string]any `yaml:"openAPIV3Schema"`
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &crd); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	for _, v := range crd.Spec.Versions {
		schemas[crd.Spec.Group+"/"+v.Name+" "+crd.Spec.Names.Kind] = v.Schema.OpenAPIV3Schema
	}
}

// misfits are the places where value does not fit an OpenAPI schema of the structural
// kind that Kubernetes has. Fields that it does not name are misfits too.
func misfits(schema map[string]any, value any, at string) []string {
	if schema["x-kubernetes-int-or-string"] == true {
		return nil // resources and ports, whose patterns a test of ours would repeat
	}
	wrong := func(format string, args ...any) []string { return []string{at + ": " + fmt.Sprintf(format, args...)} }
	want, _ := schema["type"].(string)
	switch value := value.(type) {
	case map[string]any:
		if want != "object" {
			return wrong("got an object, want %q", want)
		}
		return fieldMisfits(schema, value, at)
	case []any:
		if want != "array" {
			return wrong("got a list, want %q", want)
		}
		items, _ := schema["items"].(map[string]any)
		var all []string
		for i, item := range value {
			all = append(all, misfits(items, item, fmt.Sprintf("%s[%d]", at, i))...)
		}
		return all
	case string:
		if want != "string" {
			return wrong("got %q, want %q", value, want)
		}
		if pattern, ok := schema["pattern"].(string); ok && !regexp.MustCompile(pattern).MatchString(value) {
			return wrong("got %q, want %s", value, pattern)
		}
	case bool:
		if want != "boolean" {
			return wrong("got %v, want %q", value, want)
		}
	case int:
		if want != "integer" {
			return wrong("got %v, want %q", value, want)
		}
		if least, ok := schema["minimum"].(int); ok && value < least {
			return wrong("got %v, want at least %v", value, least)
		}
	default:
		return wrong("got %T", value)
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, value) {
		return wrong("got %v, want one of %v", value, enum)
	}
	return nil
}

// fieldMisfits are those of an object's fields.
func fieldMisfits(schema, object map[string]any, at string) (all []string) {
	properties, _ := schema["properties"].(map[string]any)
	more, _ := schema["additionalProperties"].(map[string]any)
	free := schema["x-kubernetes-preserve-unknown-fields"] == true || strings.HasSuffix(at, ".metadata") && properties == nil
	for name, value := range object {
		field, known := properties[name].(map[string]any)
		switch {
		case known:
			all = append(all, misfits(field, value, at+"."+name)...)
		case more != nil:
			all = append(all, misfits(more, value, at+"."+name)...)
		case !free:
			all = append(all, fmt.Sprintf("%s.%s: not in the schema", at, name))
		}
	}
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok {
			all = append(all, fmt.Sprintf("%s: got no %v", at, name))
		}
	}
	return all
}
