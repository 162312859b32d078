//go:build unix

package safetensors

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// release gives back the pages that lie wholly in data, a part of a mapped file.
func release(data []byte) {
	page := uintptr(os.Getpagesize())
	first := uintptr(unsafe.Pointer(unsafe.SliceData(data)))
	start := (page - first%page) % page
	if start >= uintptr(len(data)) {
		return
	}
	length := (uintptr(len(data)) - start) / page * page
	if length > 0 {
		unix.Madvise(data[start:start+length], unix.MADV_DONTNEED) // if it fails, they stay
	}
}
