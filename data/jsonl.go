package data

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
)

// maxRowBytes is the longest row that is read.
const maxRowBytes = 16 << 20

// utf8Mark is a byte order mark in UTF-8, with which some editors begin a file.
const utf8Mark = "\uFEFF"

// Rows yields the rows of a JSON Lines stream; name stands for in in messages. A bad
// row yields a [*RowError] and reading goes on with the next, so that all can be
// shown at once. Only an error of in itself, and a first row of no known format,
// where format is [FormatAuto], end the sequence. Blank lines, line endings of
// Windows and a byte order mark at the beginning are no errors.
func Rows(name string, in io.Reader, format Format) iter.Seq2[Row, error] {
	return func(yield func(Row, error) bool) {
		line := 0
		for raw, err := range lines(in) {
			line++
			if err != nil && !errors.Is(err, ErrRowTooLong) {
				yield(Row{}, fmt.Errorf("%s: after line %d: %w", name, line-1, err))
				return
			}
			if line == 1 {
				raw = bytes.TrimPrefix(raw, []byte(utf8Mark))
			}
			if err == nil && len(bytes.TrimSpace(raw)) == 0 {
				continue
			}
			var row Row
			bad := &RowError{Err: err}
			if err == nil {
				row, bad = readRow(raw, &format)
			}
			if bad != nil {
				bad.File, bad.Line = name, line
				if !yield(Row{}, bad) || format == "" {
					return
				}
				continue
			}
			row.File, row.Line = name, line
			if !yield(row, nil) {
				return
			}
		}
	}
}

// readRow reads a row. It sets a format of [FormatAuto] to that of the row, or to ""
// if the row has none.
func readRow(raw []byte, format *Format) (Row, *RowError) {
	v, bad := parse(raw)
	if bad != nil {
		return Row{}, bad
	}
	members, bad := v.members("")
	if bad != nil {
		return Row{}, bad
	}
	if *format == FormatAuto {
		var err error
		if *format, err = detect(members); err != nil {
			return Row{}, v.errorf("", "%w", err)
		}
	}
	return parseRow(members, *format)
}

// lines yields the lines of a stream without their ends. A line is valid until the
// next; one of more than maxRowBytes comes as [ErrRowTooLong]. Any other error is
// the last thing.
func lines(in io.Reader) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		r := bufio.NewReader(in)
		var line []byte
		for {
			var tooLong bool
			var err error
			line, tooLong, err = readLine(r, line[:0])
			switch {
			case err != nil && err != io.EOF:
				yield(nil, err)
				return
			case tooLong:
				if !yield(nil, fmt.Errorf("%w: more than %d bytes", ErrRowTooLong, maxRowBytes)) {
					return
				}
			case err == nil || len(line) > 0:
				if !yield(bytes.TrimRight(line, "\r\n"), nil) {
					return
				}
			}
			if err == io.EOF {
				return
			}
		}
	}
}

// readLine appends a line to buf, up to the newline or the end of the stream, and
// skips what is beyond maxRowBytes.
func readLine(r *bufio.Reader, buf []byte) (line []byte, tooLong bool, err error) {
	for {
		part, err := r.ReadSlice('\n')
		if tooLong = tooLong || len(buf)+len(part) > maxRowBytes; !tooLong {
			buf = append(buf, part...)
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return buf, tooLong, err
		}
	}
}
