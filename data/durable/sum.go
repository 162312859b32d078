package durable

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"io"
	"os"
)

// Sum is a file's size and its SHA-256 in hexadecimal, by which a whole file is told
// from a damaged one.
func Sum(path string) (size int64, sha string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	hash := sha256.New()
	size, err = io.Copy(hash, file)
	return size, hex.EncodeToString(hash.Sum(nil)), errors.Join(err, file.Close())
}

// Of large files, Fingerprint reads samples blocks of sampleBytes, evenly spaced, the
// first and the last bytes among them.
const (
	sampleBytes = 64 << 10
	samples     = 512
)

// Fingerprint is a file's size and what tells its content from another: its SHA-256 as
// "sha256:…", or, if it has more than whole bytes, that of its size and of 512 blocks
// of 64 KiB, evenly spaced, as "sha256-sampled:…". That takes 32 MiB of reading
// however large the file is, and finds for certain any change that reaches over a
// 512th of it. whole must be at least 32 MiB.
func Fingerprint(path string, whole int64) (size int64, sum string, err error) {
	file, err := os.Open(path)
	if err != nil {
		return 0, "", err
	}
	defer file.Close()
	info, err := file.Stat()
	if err != nil {
		return 0, "", err
	}
	kind, hash := "sha256", sha256.New()
	if info.Size() <= whole {
		_, err = io.Copy(hash, file)
	} else {
		kind, err = "sha256-sampled", hashSamples(hash, file, info.Size())
	}
	if err != nil {
		return 0, "", fmt.Errorf("%s: %w", path, err)
	}
	return info.Size(), fmt.Sprintf("%s:%x", kind, hash.Sum(nil)), nil
}

// hashSamples writes the size and the sampled blocks of a large file into sum.
func hashSamples(sum hash.Hash, file io.ReaderAt, size int64) error {
	binary.Write(sum, binary.LittleEndian, size) // a hash takes all it is given
	block := make([]byte, sampleBytes)
	for i := range int64(samples) {
		at := (size - sampleBytes) / (samples - 1) * i
		if i == samples-1 {
			at = size - sampleBytes
		}
		if _, err := file.ReadAt(block, at); err != nil {
			return err
		}
		sum.Write(block)
	}
	return nil
}
