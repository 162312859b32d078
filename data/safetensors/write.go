package safetensors

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"slices"
	"unsafe"

	"bdlora/data/durable"
)

// Entry is one tensor to write. Make it with [FromF32], [FromU16] or [FromBytes], or by hand
// where the numbers are computed or converted only while they are written.
type Entry struct {
	Name  string
	Dtype Dtype
	Shape []int
	// Data writes the numbers, little-endian and row-major: as many bytes as Dtype
	// and Shape say. It may do so in any portions.
	Data func(w io.Writer) error
}

// FromF32 is an F32 entry of values, which stay unread until the file is written.
func FromF32(name string, shape []int, values []float32) Entry {
	return Entry{name, F32, shape, func(w io.Writer) error {
		return writeNumbers(w, values, func(b []byte, v float32) []byte {
			return binary.LittleEndian.AppendUint32(b, math.Float32bits(v))
		})
	}}
}

// FromU16 is an entry of the dtype BF16 or F16 with the bit patterns values, which
// stay unread until the file is written.
func FromU16(name string, dtype Dtype, shape []int, values []uint16) Entry {
	return Entry{name, dtype, shape, func(w io.Writer) error {
		return writeNumbers(w, values, binary.LittleEndian.AppendUint16)
	}}
}

// FromBytes is an entry of the dtype I8 or U8.
func FromBytes[T int8 | uint8](name string, shape []int, values []T) Entry {
	dtype := U8
	if _, signed := any(values).([]int8); signed {
		dtype = I8
	}
	return Entry{name, dtype, shape, func(w io.Writer) error {
		_, err := w.Write(unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(values))), len(values)))
		return err
	}}
}

// writeNumbers writes values in portions of a few KiB.
func writeNumbers[T any](w io.Writer, values []T, appendOne func([]byte, T) []byte) error {
	const portion = 2048
	var buffer []byte
	for part := range slices.Chunk(values, portion) {
		buffer = buffer[:0]
		for _, v := range part {
			buffer = appendOne(buffer, v)
		}
		if _, err := w.Write(buffer); err != nil {
			return err
		}
	}
	return nil
}

// Write creates or replaces the file path by one with the tensors entries and, if
// it is not empty, the metadata. The file is whole or absent, as [durable.WriteFile]
// has it. The bytes depend on the arguments alone, whatever the order of entries,
// and are those of the reference implementation. The header is written first, then
// tensor after tensor, so that no more than one portion is ever in memory.
//
// It returns an error, before anything is written, for two entries of one name, an
// unknown dtype or a negative size; and, leaving the old file, for an entry that
// writes more or fewer bytes than its shape has.
func Write(path string, entries []Entry, metadata map[string]string) error {
	header, sorted, err := encodeHeader(entries, metadata)
	if err != nil {
		return fmt.Errorf("%s: safetensors: %w", path, err)
	}
	return durable.WriteFile(path, func(w io.Writer) error {
		if err := encode(w, header, sorted); err != nil {
			return fmt.Errorf("%s: safetensors: %w", path, err)
		}
		return nil
	})
}

// Encode writes the bytes of [Write] to w.
func Encode(w io.Writer, entries []Entry, metadata map[string]string) error {
	header, sorted, err := encodeHeader(entries, metadata)
	if err == nil {
		err = encode(w, header, sorted)
	}
	if err != nil {
		return fmt.Errorf("safetensors: %w", err)
	}
	return nil
}

// encodeHeader returns the head of the file, its length included and padded so that
// the numbers begin at a multiple of 8, and entries in the order of their numbers:
// wide dtypes first, so that all are aligned, then by name.
func encodeHeader(entries []Entry, metadata map[string]string) (header []byte, sorted []Entry, err error) {
	sorted = slices.Clone(entries)
	slices.SortFunc(sorted, func(a, b Entry) int {
		return cmp.Or(cmp.Compare(b.Dtype.order(), a.Dtype.order()), cmp.Compare(a.Name, b.Name))
	})
	header = append(make([]byte, lengthBytes), '{')
	if len(metadata) > 0 {
		header = appendJSON(appendJSON(header, metadataKey, ':'), metadata, ',')
	}
	seen := map[string]bool{metadataKey: true}
	start := uint64(0)
	for _, e := range sorted {
		size, err := dataBytes(e.Dtype, e.Shape)
		if err != nil {
			return nil, nil, fmt.Errorf("tensor %q: %w", e.Name, err)
		}
		if seen[e.Name] {
			return nil, nil, fmt.Errorf("tensor %q: the name occurs twice or is reserved", e.Name)
		}
		seen[e.Name] = true
		header = appendJSON(header, e.Name, ':')
		shape := append([]int{}, e.Shape...) // nil would be null
		header = appendJSON(header, headerEntry{e.Dtype, shape, [2]uint64{start, start + size}}, ',')
		start += size
	}
	header = append(bytes.TrimSuffix(header, []byte(",")), '}')
	for len(header)%lengthBytes != 0 {
		header = append(header, ' ')
	}
	if len(header)-lengthBytes > maxHeaderBytes {
		return nil, nil, fmt.Errorf("header has %d bytes, want at most %d",
			len(header)-lengthBytes, maxHeaderBytes)
	}
	binary.LittleEndian.PutUint64(header, uint64(len(header)-lengthBytes))
	return header, sorted, nil
}

// headerEntry is one tensor in the header.
type headerEntry struct {
	Dtype   Dtype     `json:"dtype"`
	Shape   []int     `json:"shape"`
	Offsets [2]uint64 `json:"data_offsets"`
}

// appendJSON appends value as the reference implementation spells it, then mark.
func appendJSON(dst []byte, value any, mark byte) []byte {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic("safetensors: strings and numbers that have no JSON: " + err.Error())
	}
	return append(append(dst, bytes.TrimSuffix(text.Bytes(), []byte("\n"))...), mark)
}

// encode writes header, then the numbers of sorted.
func encode(w io.Writer, header []byte, sorted []Entry) error {
	if _, err := w.Write(header); err != nil {
		return err
	}
	for _, e := range sorted {
		want, err := dataBytes(e.Dtype, e.Shape)
		if err != nil {
			return err
		}
		counter := &countingWriter{w: w, left: want}
		if err := e.Data(counter); err != nil {
			return fmt.Errorf("tensor %q: %w", e.Name, err)
		}
		if counter.left != 0 {
			return fmt.Errorf("tensor %q: got %d bytes, want %d for %s %v",
				e.Name, want-counter.left, want, e.Dtype, e.Shape)
		}
	}
	return nil
}

// countingWriter passes on at most left bytes.
type countingWriter struct {
	w    io.Writer
	left uint64
}

func (c *countingWriter) Write(p []byte) (int, error) {
	if uint64(len(p)) > c.left {
		return 0, fmt.Errorf("got at least %d bytes more than its shape has", uint64(len(p))-c.left)
	}
	n, err := c.w.Write(p)
	c.left -= uint64(n)
	return n, err
}
