package safetensors

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"unicode/utf8"
)

// metadataKey is the one key of a header that names no tensor.
const metadataKey = "__metadata__"

// extent is the place of a tensor's bytes behind the header.
type extent struct {
	tensor     *Tensor
	start, end uint64
}

// headerDecoder reads a header token by token, since decoding into maps would lose
// duplicate keys, and into structs the case of the keys.
type headerDecoder struct {
	header    []byte
	bodyBytes uint64
	json      *json.Decoder
	metadata  map[string]string
	extents   []extent
}

func newHeaderDecoder(header []byte, bodyBytes uint64) *headerDecoder {
	return &headerDecoder{header: header, bodyBytes: bodyBytes, json: json.NewDecoder(bytes.NewReader(header))}
}

// decode fills metadata, and extents in the order of their bytes.
func (d *headerDecoder) decode() error {
	if len(d.header) == 0 || d.header[0] != '{' {
		return fmt.Errorf("%w: does not begin with '{'", ErrFormat)
	}
	if !utf8.Valid(d.header) {
		return fmt.Errorf("%w: not UTF-8", ErrFormat)
	}
	if err := d.object(d.entry); err != nil {
		return err
	}
	if _, err := d.json.Token(); !errors.Is(err, io.EOF) {
		return fmt.Errorf("%w: more than spaces behind the last '}'", ErrFormat)
	}
	return d.checkExtents()
}

// object reads a JSON object, calling member with each key to read its value.
func (d *headerDecoder) object(member func(key string) error) error {
	if err := d.delim('{'); err != nil {
		return err
	}
	seen := map[string]bool{}
	for d.json.More() {
		token, err := d.json.Token()
		if err != nil {
			return fmt.Errorf("%w: %w", ErrFormat, err)
		}
		key := token.(string) // the decoder lets nothing else be a key
		if seen[key] {
			return fmt.Errorf("%w: %q occurs twice", ErrFormat, key)
		}
		seen[key] = true
		if err := member(key); err != nil {
			return fmt.Errorf("%q: %w", key, err)
		}
	}
	return d.delim('}')
}

func (d *headerDecoder) delim(want json.Delim) error {
	token, err := d.json.Token()
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if token != want {
		return fmt.Errorf("%w: got %v, want %v", ErrFormat, token, want)
	}
	return nil
}

// value reads a JSON value other than null into v.
func (d *headerDecoder) value(v any) error {
	var raw json.RawMessage
	if err := d.json.Decode(&raw); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if string(raw) == "null" {
		return fmt.Errorf("%w: got null, want a value", ErrFormat)
	}
	if err := json.Unmarshal(raw, v); err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	return nil
}

// entry reads one member of the header: a tensor or the metadata.
func (d *headerDecoder) entry(name string) error {
	if name == metadataKey {
		d.metadata = map[string]string{}
		return d.object(func(key string) error {
			var text string
			err := d.value(&text)
			d.metadata[key] = text
			return err
		})
	}
	t := &Tensor{Name: name}
	var offsets []uint64
	err := d.object(func(key string) error {
		switch key {
		case "dtype":
			return d.value(&t.Dtype)
		case "shape":
			return d.value(&t.Shape)
		case "data_offsets":
			return d.value(&offsets)
		}
		return d.value(new(any)) // of a later version of the format
	})
	if err != nil {
		return err
	}
	return d.place(t, offsets)
}

// place adds t at offsets, if its dtype and shape take just that many bytes.
func (d *headerDecoder) place(t *Tensor, offsets []uint64) error {
	if t.Shape == nil {
		return fmt.Errorf("%w: no shape", ErrFormat)
	}
	want, err := dataBytes(t.Dtype, t.Shape)
	if err != nil {
		return fmt.Errorf("%w: %w", ErrFormat, err)
	}
	if len(offsets) != 2 || offsets[1] < offsets[0] {
		return fmt.Errorf("%w: data_offsets is %v, want [start, end]", ErrFormat, offsets)
	}
	if got := offsets[1] - offsets[0]; got != want {
		return fmt.Errorf("%w: data_offsets %v hold %d bytes, want %d for %s %v",
			ErrFormat, offsets, got, want, t.Dtype, t.Shape)
	}
	if offsets[1] > d.bodyBytes {
		return fmt.Errorf("%w: tensor ends at byte %d of %d", ErrTruncated, offsets[1], d.bodyBytes)
	}
	d.extents = append(d.extents, extent{t, offsets[0], offsets[1]})
	return nil
}

// checkExtents sorts the extents and sees that they cover the body, each byte once.
func (d *headerDecoder) checkExtents() error {
	slices.SortFunc(d.extents, func(a, b extent) int {
		return cmp.Or(
			cmp.Compare(a.start, b.start),
			cmp.Compare(a.end, b.end),
			cmp.Compare(a.tensor.Name, b.tensor.Name),
		)
	})
	covered := uint64(0)
	for _, e := range d.extents {
		if e.start != covered {
			return fmt.Errorf("%w: %q begins at byte %d, want %d, where its predecessor ends",
				ErrFormat, e.tensor.Name, e.start, covered)
		}
		covered = e.end
	}
	if covered != d.bodyBytes {
		return fmt.Errorf("%w: %d bytes behind the last tensor", ErrFormat, d.bodyBytes-covered)
	}
	return nil
}
