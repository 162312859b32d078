package train

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

// setNode sets the setting v from a YAML node. A null leaves it as it is.
func setNode(v reflect.Value, node *yaml.Node) error {
	switch {
	case isNull(node):
		return nil
	case node.Kind == yaml.SequenceNode && v.Kind() == reflect.Slice:
		return setSequence(v, node)
	case !isPlainScalar(node):
		return fmt.Errorf("got %s, want %s", describe(node), wantOf(v))
	}
	return setText(v, node.Value)
}

// setSequence sets a list of strings.
func setSequence(v reflect.Value, node *yaml.Node) error {
	items := make([]string, len(node.Content))
	for i, child := range node.Content {
		child = resolve(child)
		if !isPlainScalar(child) {
			return fmt.Errorf("item %d: got %s, want text", i+1, describe(child))
		}
		items[i] = child.Value
	}
	v.Set(reflect.ValueOf(items))
	return nil
}

// resolve follows a YAML alias to its anchor.
func resolve(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode && node.Alias != nil {
		return node.Alias
	}
	return node
}

func isNull(node *yaml.Node) bool {
	return node.Kind == yaml.ScalarNode && node.ShortTag() == "!!null"
}

// isPlainScalar reports whether a node's text means what it says, which that of
// !!binary and of unknown tags does not.
func isPlainScalar(node *yaml.Node) bool {
	plain := []string{"!!str", "!!int", "!!float", "!!bool", "!!timestamp"}
	return node.Kind == yaml.ScalarNode && slices.Contains(plain, node.ShortTag())
}

// describe names a node's kind for messages.
func describe(node *yaml.Node) string {
	switch {
	case node.Kind == yaml.MappingNode:
		return "a mapping"
	case node.Kind == yaml.SequenceNode:
		return "a list"
	case isNull(node):
		return "nothing"
	case isPlainScalar(node):
		return fmt.Sprintf("%q", node.Value)
	}
	return fmt.Sprintf("a value tagged %q", node.Tag)
}

// wantOf names the kind of value that the setting v takes.
func wantOf(v reflect.Value) string {
	switch v.Kind() {
	case reflect.Int, reflect.Uint64:
		return "a whole number"
	case reflect.Float64:
		return "a number"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list of text"
	}
	return "text"
}

// at is the place of a node: path:line.
func at(path string, node *yaml.Node) string {
	return fmt.Sprintf("%s:%d", path, node.Line)
}

func isEOF(err error) bool { return errors.Is(err, io.EOF) }

// oneLine is the text of err without line breaks, which YAML's have.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
