package data

import (
	"fmt"
	"slices"
	"strings"
)

// Format is the layout of a dataset's rows, by the name that configuration uses.
type Format string

// The formats of rows.
const (
	// FormatAuto is that of the four which the first row of each file has.
	FormatAuto Format = "auto"
	// FormatMessages has "messages", a list of objects with "role" and "content".
	FormatMessages Format = "messages"
	// FormatAlpaca has "instruction", "input" (which may be empty or missing) and
	// "output".
	FormatAlpaca Format = "alpaca"
	// FormatPromptCompletion has "prompt" and "completion".
	FormatPromptCompletion Format = "prompt_completion"
	// FormatQuestionAnswer has "question" and "answer".
	FormatQuestionAnswer Format = "question_answer"
)

// rowFormats are the formats that a row can have, in the order of detection.
var rowFormats = []Format{FormatMessages, FormatAlpaca, FormatPromptCompletion, FormatQuestionAnswer}

// Validate refuses what is none of the five.
func (f Format) Validate() error {
	if f == FormatAuto || slices.Contains(rowFormats, f) {
		return nil
	}
	return fmt.Errorf("data: dataset_format is %q, want %q or one of %q", f, FormatAuto, rowFormats)
}

// fields are the keys that every row of the format has.
func (f Format) fields() []string {
	switch f {
	case FormatMessages:
		return []string{"messages"}
	case FormatAlpaca:
		return []string{"instruction", "output"}
	case FormatPromptCompletion:
		return []string{"prompt", "completion"}
	case FormatQuestionAnswer:
		return []string{"question", "answer"}
	}
	return nil
}

// detect finds the first format that has all its fields among the members.
func detect(members []member) (Format, error) {
	for _, f := range rowFormats {
		missing := func(key string) bool { return find(members, key) == nil }
		if !slices.ContainsFunc(f.fields(), missing) {
			return f, nil
		}
	}
	var got, want []string
	for _, m := range members {
		got = append(got, m.key)
	}
	for _, f := range rowFormats {
		want = append(want, strings.Join(f.fields(), " and "))
	}
	return "", fmt.Errorf("got keys %q, want %s", got, strings.Join(want, ", or "))
}
