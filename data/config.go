package data

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// ExcessLength is what happens to an example of more than MaxLength tokens, by the
// name that configuration uses.
type ExcessLength string

// The strategies for examples that are too long.
const (
	// ExcessDrop leaves the example out and counts it.
	ExcessDrop ExcessLength = "drop"
	// ExcessTruncate keeps the first MaxLength tokens and counts the example. One
	// that has no trained token left is an error.
	ExcessTruncate ExcessLength = "truncate"
	// ExcessRaise makes it an error, [ErrRowTooLong].
	ExcessRaise ExcessLength = "raise"
)

// Config says how rows become examples. The names in brackets are those of the
// configuration file, which messages use.
type Config struct {
	// Format is the layout of the rows [dataset_format]. Default [FormatAuto].
	Format Format
	// MaxLength is the largest number of tokens of an example [max_length]; 0 for no
	// limit. Default 1024.
	MaxLength int
	// ExcessLength is for longer ones [excess_length_strategy]. Default [ExcessRaise].
	ExcessLength ExcessLength
	// TrainOnPrompt trains every token, not only the assistant's [train_on_prompt].
	TrainOnPrompt bool
	// MaskHistory trains the last turn of the assistant only [mask_history].
	MaskHistory bool
	// Now is the date that a chat template sees which asks for one. A resumed run
	// must use that of the first, or its tokens differ.
	Now time.Time
}

// DefaultConfig is the defaults that [Config] names, with the zero time.
func DefaultConfig() Config {
	return Config{Format: FormatAuto, MaxLength: 1024, ExcessLength: ExcessRaise}
}

// Validate reports every value that is out of range or contradicts another.
func (c Config) Validate() error {
	errs := []error{c.Format.Validate()}
	if c.MaxLength < 0 || c.MaxLength == 1 {
		errs = append(errs, fmt.Errorf("data: max_length is %d, want at least 2, or 0 for no limit", c.MaxLength))
	}
	strategies := []ExcessLength{ExcessDrop, ExcessTruncate, ExcessRaise}
	if !slices.Contains(strategies, c.ExcessLength) {
		errs = append(errs, fmt.Errorf("data: excess_length_strategy is %q, want one of %q", c.ExcessLength, strategies))
	}
	if c.TrainOnPrompt && c.MaskHistory {
		errs = append(errs, errors.New("data: train_on_prompt and mask_history are both set, want at most one"))
	}
	return errors.Join(errs...)
}
