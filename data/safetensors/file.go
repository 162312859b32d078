package safetensors

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/edsrzf/mmap-go"
)

const (
	// lengthBytes is the size of the header length at the start of a file.
	lengthBytes = 8
	// maxHeaderBytes is the limit of the reference implementation.
	maxHeaderBytes = 100_000_000
)

// What a caller can act on.
var (
	// ErrTruncated: the file ends before its last tensor does, as after a broken
	// download or copy. Fetch it again.
	ErrTruncated = errors.New("file is cut short")
	// ErrFormat: the file is not of this format, or contradicts itself.
	ErrFormat = errors.New("not a valid safetensors file")
	// ErrNoWeights: a folder has neither model.safetensors nor an index of shards.
	ErrNoWeights = errors.New("no model.safetensors and no model.safetensors.index.json")
)

// File is one opened safetensors file. It is safe for concurrent use.
type File struct {
	metadata map[string]string
	tensors  []*Tensor // in the order of their bytes
	byName   map[string]*Tensor
	mapped   mmap.MMap // nil for a file in memory
}

// Open maps the file path into memory and checks all of its header: a file that
// opens has every byte of every tensor, and none left over. Close it when the
// last view of its tensors is gone. While it is open, nobody may shorten the file
// in place; replacing it by rename is harmless.
//
// It returns errors that are [ErrTruncated], [ErrFormat], or from the file system.
func Open(path string) (*File, error) {
	mapped, err := mapFile(path)
	if err != nil {
		return nil, err
	}
	f, err := Parse(mapped)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, errors.Join(err, mapped.Unmap()))
	}
	f.mapped = mapped
	for _, t := range f.tensors {
		t.mapped = true
	}
	return f, nil
}

func mapFile(path string) (mmap.MMap, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, &fs.PathError{Op: "open", Path: path, Err: errors.New("not a regular file")}
	}
	if info.Size() < lengthBytes {
		return nil, fmt.Errorf("%s: safetensors: %w: %d bytes, want at least %d",
			path, ErrTruncated, info.Size(), lengthBytes)
	}
	mapped, err := mmap.Map(file, mmap.RDONLY, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "mmap", Path: path, Err: err}
	}
	return mapped, nil
}

// Parse is [Open] for a file that is in memory already. The tensors are views of
// data, which must not change.
func Parse(data []byte) (*File, error) {
	header, body, err := splitHeader(data)
	if err != nil {
		return nil, fmt.Errorf("safetensors: %w", err)
	}
	decoder := newHeaderDecoder(header, uint64(len(body)))
	if err := decoder.decode(); err != nil {
		return nil, fmt.Errorf("safetensors: header: %w", err)
	}
	f := &File{metadata: decoder.metadata, byName: make(map[string]*Tensor, len(decoder.extents))}
	for _, e := range decoder.extents {
		e.tensor.data = body[e.start:e.end:e.end]
		f.tensors = append(f.tensors, e.tensor)
		f.byName[e.tensor.Name] = e.tensor
	}
	return f, nil
}

// splitHeader cuts data into the JSON header and the numbers behind it.
func splitHeader(data []byte) (header, body []byte, err error) {
	if len(data) < lengthBytes {
		return nil, nil, fmt.Errorf("%w: %d bytes, want at least %d", ErrTruncated, len(data), lengthBytes)
	}
	headerBytes, rest := binary.LittleEndian.Uint64(data), data[lengthBytes:]
	if headerBytes > maxHeaderBytes {
		return nil, nil, fmt.Errorf("%w: header of %d bytes, want at most %d", ErrFormat, headerBytes, maxHeaderBytes)
	}
	if headerBytes > uint64(len(rest)) {
		return nil, nil, fmt.Errorf("%w: header of %d bytes, got %d", ErrTruncated, headerBytes, len(rest))
	}
	return rest[:headerBytes], rest[headerBytes:], nil
}

// Tensor is the tensor of that name, if there is one.
func (f *File) Tensor(name string) (*Tensor, bool) {
	t, ok := f.byName[name]
	return t, ok
}

// Tensors lists all tensors in the order of their bytes.
func (f *File) Tensors() []*Tensor { return f.tensors }

// Metadata is the header's __metadata__, nil if it has none.
func (f *File) Metadata() map[string]string { return f.metadata }

// Close unmaps the file. Reading any view of its tensors afterwards crashes the
// program. Closing twice is harmless.
func (f *File) Close() error {
	if f.mapped == nil {
		return nil
	}
	return f.mapped.Unmap() // which sets it to nil
}
