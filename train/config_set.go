package train

import (
	"fmt"
	"reflect"
	"strconv"
	"strings"
	"unicode/utf8"
)

// setText sets the setting v from the text of a scalar. Numbers are decimal; a list
// is separated by commas, with or without brackets around it.
func setText(v reflect.Value, text string) error {
	if !utf8.ValidString(text) {
		return fmt.Errorf("got %q, want valid UTF-8", text)
	}
	switch v.Kind() {
	case reflect.String:
		v.SetString(text)
	case reflect.Int:
		return setInt(v, text)
	case reflect.Uint64:
		return setUint(v, text)
	case reflect.Float64:
		return setFloat(v, text)
	case reflect.Bool:
		return setBool(v, text)
	case reflect.Slice:
		v.Set(reflect.ValueOf(splitList(text)))
	default:
		panic("train: setting of unknown kind")
	}
	return nil
}

func setInt(v reflect.Value, text string) error {
	n, err := strconv.Atoi(text)
	if err != nil {
		return fmt.Errorf("got %q, want a whole number", text)
	}
	v.SetInt(int64(n))
	return nil
}

func setUint(v reflect.Value, text string) error {
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		return fmt.Errorf("got %q, want a whole number from 0 on", text)
	}
	v.SetUint(n)
	return nil
}

func setFloat(v reflect.Value, text string) error {
	x, err := strconv.ParseFloat(text, 64)
	if err != nil || x-x != 0 { // NaN or infinite
		return fmt.Errorf("got %q, want a number", text)
	}
	v.SetFloat(x)
	return nil
}

// setBool takes what YAML 1.1 takes, since people write yes and on.
func setBool(v reflect.Value, text string) error {
	switch strings.ToLower(text) {
	case "true", "yes", "on":
		v.SetBool(true)
	case "false", "no", "off":
		v.SetBool(false)
	default:
		return fmt.Errorf("got %q, want true or false", text)
	}
	return nil
}

func splitList(text string) []string {
	text = strings.TrimSpace(text)
	if inner, ok := strings.CutPrefix(text, "["); ok {
		text = strings.TrimSuffix(inner, "]")
	}
	items := strings.Split(text, ",")
	for i := range items {
		items[i] = strings.TrimSpace(items[i])
	}
	return items
}
