package durable

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
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
