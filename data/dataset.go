package data

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
)

// Counts says what happened to rows on their way to examples.
type Counts struct {
	Rows       int // read, whatever became of them
	Dropped    int // examples longer than max_length that were left out
	Truncated  int // examples longer than max_length that were cut
	Straddling int // tokens with the end of a prompt and the beginning of an answer; not trained
}

// Plus is the sum of both.
func (c Counts) Plus(other Counts) Counts {
	return Counts{
		Rows: c.Rows + other.Rows, Dropped: c.Dropped + other.Dropped,
		Truncated: c.Truncated + other.Truncated, Straddling: c.Straddling + other.Straddling,
	}
}

// Dataset is the examples of one or more files, in the order of the files and lines.
type Dataset struct {
	Examples []Example
	Counts   Counts
}

// Load reads and tokenizes JSON Lines files, on all processors; the result does not
// depend on their number.
//
// It returns [RowErrors] with every bad row if there is one, and other errors if a
// file cannot be read or no example is left.
func Load(files []string, e *Encoder) (*Dataset, error) {
	var entries []entry
	for _, file := range files {
		var err error
		if entries, err = appendFile(entries, file, e.cfg.Format); err != nil {
			return nil, err
		}
	}
	encodeAll(entries, e)
	d := &Dataset{}
	var bad RowErrors
	for _, entry := range entries {
		d.Counts = d.Counts.Plus(entry.counts)
		d.Examples = append(d.Examples, entry.examples...)
		if entry.bad != nil {
			bad = append(bad, entry.bad)
		}
	}
	if len(bad) > 0 {
		return nil, bad
	}
	if len(d.Examples) == 0 {
		return nil, fmt.Errorf("%s: no example left of %d rows, %d of them longer than max_length: want at least 1",
			strings.Join(files, ", "), d.Counts.Rows, d.Counts.Dropped)
	}
	return d, nil
}

// entry is a row and what became of it.
type entry struct {
	row      Row
	examples []Example
	counts   Counts
	bad      *RowError
}

// appendFile appends the rows of a file, the bad ones with their errors.
func appendFile(entries []entry, file string, format Format) ([]entry, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	for row, err := range Rows(file, f, format) {
		var bad *RowError
		if err != nil && !errors.As(err, &bad) {
			return nil, err
		}
		entries = append(entries, entry{row: row, bad: bad})
	}
	return entries, nil
}

// encodeAll encodes the good rows in parallel, each processor a stretch at a time.
func encodeAll(entries []entry, e *Encoder) {
	stretches := make(chan []entry)
	var workers sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		workers.Go(func() {
			for stretch := range stretches {
				for i := range stretch {
					if entry := &stretch[i]; entry.bad == nil {
						var err error
						entry.examples, entry.counts, err = e.Encode(entry.row)
						errors.As(err, &entry.bad)
					}
				}
			}
		})
	}
	for stretch := range slices.Chunk(entries, 64) {
		stretches <- stretch
	}
	close(stretches)
	workers.Wait()
}

// Hash is the SHA-256 of the examples' tokens and of which are trained, in
// hexadecimal: equal if and only if two runs train on the same.
func Hash(examples []Example) string {
	hash := sha256.New()
	var buf []byte
	for i := range examples {
		example := &examples[i]
		buf = binary.LittleEndian.AppendUint64(buf[:0], uint64(len(example.Tokens)))
		for j, token := range example.Tokens {
			buf = binary.LittleEndian.AppendUint32(buf, uint32(token))
			trained := byte(0)
			if example.Trained[j] {
				trained = 1
			}
			buf = append(buf, trained)
		}
		hash.Write(buf)
	}
	return hex.EncodeToString(hash.Sum(nil))
}
