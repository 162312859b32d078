package data

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"
)

// value is a JSON value and the byte of its row where it begins, counted from 0.
type value struct {
	raw []byte
	at  int
}

// member is a key of an object and its value.
type member struct {
	key string
	value
}

// parse checks that a row is one JSON value in valid UTF-8.
func parse(row []byte) (value, *RowError) {
	if !utf8.Valid(row) {
		at := 0
		for r, n := utf8.DecodeRune(row); r != utf8.RuneError || n != 1; r, n = utf8.DecodeRune(row[at:]) {
			at += n
		}
		return value{}, &RowError{Col: at + 1, Err: fmt.Errorf("got byte %#02x, want UTF-8", row[at])}
	}
	var syntax *json.SyntaxError
	err := json.Unmarshal(row, new(json.RawMessage))
	if errors.As(err, &syntax) {
		return value{}, &RowError{Col: max(1, int(syntax.Offset)), Err: err}
	}
	if err != nil {
		return value{}, &RowError{Err: err}
	}
	at := len(row) - len(bytes.TrimLeft(row, " \t\r\n"))
	return value{raw: row[at:], at: at}, nil
}

// errorf places a message at the value.
func (v value) errorf(field, format string, args ...any) *RowError {
	return &RowError{Col: v.at + 1, Field: field, Err: fmt.Errorf(format, args...)}
}

// typeName is what JSON calls the value.
func (v value) typeName() string {
	switch v.raw[0] {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't', 'f':
		return "boolean"
	case 'n':
		return "null"
	}
	return "number"
}

// empty is whether the value says nothing: null, "", [] or {}.
func (v value) empty() bool {
	switch v.raw[0] {
	case 'n':
		return true
	case '"', '[', '{':
		return len(bytes.TrimSpace(v.raw[1:len(v.raw)-1])) == 0
	}
	return false
}

// text is the value of a string.
func (v value) text(field string) (string, *RowError) {
	if v.raw[0] != '"' {
		return "", v.errorf(field, "got %s, want string", v.typeName())
	}
	var s string
	if err := json.Unmarshal(v.raw, &s); err != nil {
		return "", v.errorf(field, "%w", err)
	}
	if strings.ContainsRune(s, utf8.RuneError) && strings.Count(s, "\uFFFD") > replacements(v.raw) {
		return "", v.errorf(field, `got half a surrogate pair (\ud800 to \udfff), want both`)
	}
	return s, nil
}

// replacements counts how often a string's source names U+FFFD, which is also what
// package json makes of half a surrogate pair.
func replacements(raw []byte) int {
	return bytes.Count(raw, []byte("\uFFFD")) + bytes.Count(bytes.ToLower(raw), []byte(`\ufffd`))
}

// filled is a string that holds more than white space.
func (v value) filled(field string) (string, *RowError) {
	s, bad := v.text(field)
	if bad == nil && strings.TrimSpace(s) == "" {
		return "", v.errorf(field, "%w", ErrEmptyField)
	}
	return s, bad
}

// members are those of an object. A key that occurs twice is an error.
func (v value) members(field string) ([]member, *RowError) {
	if v.raw[0] != '{' {
		return nil, v.errorf(field, "got %s, want object", v.typeName())
	}
	var members []member
	var bad *RowError
	err := v.each(func(key string, item value) {
		if find(members, key) != nil && bad == nil {
			bad = item.errorf(path(field, key), "got the key twice, want it once")
		}
		members = append(members, member{key, item})
	})
	if err != nil {
		return nil, v.errorf(field, "%w", err)
	}
	return members, bad
}

// elements are those of an array.
func (v value) elements(field string) ([]value, *RowError) {
	if v.raw[0] != '[' {
		return nil, v.errorf(field, "got %s, want array", v.typeName())
	}
	var elements []value
	err := v.each(func(_ string, item value) { elements = append(elements, item) })
	if err != nil {
		return nil, v.errorf(field, "%w", err)
	}
	return elements, nil
}

// each calls f with the items of an object or array.
func (v value) each(f func(key string, item value)) error {
	decoder := json.NewDecoder(bytes.NewReader(v.raw))
	if _, err := decoder.Token(); err != nil {
		return err
	}
	for decoder.More() {
		var key string
		if v.raw[0] == '{' {
			token, err := decoder.Token()
			if err != nil {
				return err
			}
			key, _ = token.(string)
		}
		var raw json.RawMessage
		if err := decoder.Decode(&raw); err != nil {
			return err
		}
		f(key, value{raw: raw, at: v.at + int(decoder.InputOffset()) - len(raw)})
	}
	return nil
}

// find is the first member of that key, or nil.
func find(members []member, key string) *member {
	for i := range members {
		if members[i].key == key {
			return &members[i]
		}
	}
	return nil
}

// path is the field that messages call key within field.
func path(field, key string) string {
	if field == "" {
		return key
	}
	return field + "." + key
}
