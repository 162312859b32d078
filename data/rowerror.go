package data

import (
	"errors"
	"fmt"
	"strings"
)

// Reasons for which a row is refused; test with [errors.Is]. The error at hand is a
// [*RowError], which adds the place.
var (
	// ErrEmptyField: a field that must hold text holds none, or only white space.
	ErrEmptyField = errors.New("empty")
	// ErrRowTooLong: more bytes than any row may have, or, where
	// excess_length_strategy is raise, more tokens than max_length.
	ErrRowTooLong = errors.New("row too long")
	// ErrNoTrainedTokens: nothing is left of the row that the loss could be taken on.
	ErrNoTrainedTokens = errors.New("no token to train on")
)

// RowError points at one bad row the way a compiler points at bad source:
// file:line:column, all counted from 1, so that editors and terminals link it.
type RowError struct {
	File  string
	Line  int
	Col   int    // in bytes; 0 if the whole row is at fault
	Field string // "messages[2].role"; empty if no one field is
	Err   error
}

func (e *RowError) Error() string {
	var s strings.Builder
	fmt.Fprintf(&s, "%s:%d:", e.File, e.Line)
	if e.Col > 0 {
		fmt.Fprintf(&s, "%d:", e.Col)
	}
	if e.Field != "" {
		fmt.Fprintf(&s, " field %q:", e.Field)
	}
	return s.String() + " " + e.Err.Error()
}

func (e *RowError) Unwrap() error { return e.Err }

// RowErrors is every bad row of a dataset, in the order of its files and lines. It
// is never empty.
type RowErrors []*RowError

// shownRows is how many bad rows a message lists.
const shownRows = 10

// Error lists the first ten, one a line, and says if there are more. A
// caller that wants another number of them ranges over e.
func (e RowErrors) Error() string {
	var s strings.Builder
	for i, row := range e {
		if i == shownRows {
			fmt.Fprintf(&s, "\n%d of %d bad rows shown", i, len(e))
			break
		}
		if i > 0 {
			s.WriteByte('\n')
		}
		s.WriteString(row.Error())
	}
	return s.String()
}

// Unwrap lets [errors.Is] and [errors.As] look into each.
func (e RowErrors) Unwrap() []error {
	errs := make([]error, len(e))
	for i, row := range e {
		errs[i] = row
	}
	return errs
}
