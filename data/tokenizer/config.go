package tokenizer

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// ErrUnsupported marks a tokenizer.json that asks for something which this package
// does not do, for example a model of another kind than byte-level BPE.
var ErrUnsupported = errors.New("not supported")

// config is a tokenizer.json.
type config struct {
	AddedTokens   []addedToken `json:"added_tokens"`
	Normalizer    *component   `json:"normalizer"`
	PreTokenizer  *component   `json:"pre_tokenizer"`
	PostProcessor *component   `json:"post_processor"`
	Decoder       *component   `json:"decoder"`
	Model         modelConfig  `json:"model"`
}

// component is one of the four stages around the model. Its Type says which of the
// other fields mean something.
type component struct {
	Type string `json:"type"`

	// Sequence: one of these, by the stage.
	Normalizers   []component `json:"normalizers"`
	PreTokenizers []component `json:"pretokenizers"`
	Processors    []component `json:"processors"`
	Decoders      []component `json:"decoders"`

	// Split
	Pattern  map[string]string `json:"pattern"` // by kind: Regex or String
	Behavior string            `json:"behavior"`
	Invert   bool              `json:"invert"`

	// ByteLevel
	AddPrefixSpace *bool `json:"add_prefix_space"` // default true
	UseRegex       *bool `json:"use_regex"`        // default true

	// Digits
	IndividualDigits bool `json:"individual_digits"`

	// TemplateProcessing: each item has one key, SpecialToken or Sequence.
	Single        []map[string]templateItem `json:"single"`
	SpecialTokens map[string]struct {
		IDs []int32 `json:"ids"`
	} `json:"special_tokens"`
}

type templateItem struct {
	ID string `json:"id"`
}

// modelConfig is the vocabulary and its merges.
type modelConfig struct {
	Type                    string           `json:"type"`
	Dropout                 *float64         `json:"dropout"`
	UnkToken                *string          `json:"unk_token"`
	ContinuingSubwordPrefix string           `json:"continuing_subword_prefix"`
	EndOfWordSuffix         string           `json:"end_of_word_suffix"`
	FuseUnk                 bool             `json:"fuse_unk"`
	ByteFallback            bool             `json:"byte_fallback"`
	IgnoreMerges            bool             `json:"ignore_merges"`
	Vocab                   map[string]int32 `json:"vocab"`
	Merges                  mergeList        `json:"merges"`
}

// mergeList is the pairs to merge, the most frequent first, read from either
// spelling: ["a", "b"], or "a b" of older files.
type mergeList [][2]string

// UnmarshalJSON implements [json.Unmarshaler].
func (m *mergeList) UnmarshalJSON(text []byte) error {
	rest := bytes.TrimLeft(bytes.TrimPrefix(text, []byte("[")), " \t\r\n")
	if bytes.HasPrefix(rest, []byte(`"`)) {
		var lines []string
		if err := json.Unmarshal(text, &lines); err != nil {
			return err
		}
		return collectMerges(m, lines, func(line string) []string { return strings.Split(line, " ") })
	}
	var pairs [][]string
	if err := json.Unmarshal(text, &pairs); err != nil {
		return err
	}
	return collectMerges(m, pairs, func(pair []string) []string { return pair })
}

func collectMerges[T any](m *mergeList, items []T, split func(T) []string) error {
	*m = make(mergeList, len(items))
	for i, item := range items {
		pair := split(item)
		if len(pair) != 2 {
			return fmt.Errorf("merges[%d]: got %d parts in %q, want 2", i, len(pair), pair)
		}
		(*m)[i] = [2]string(pair)
	}
	return nil
}

// flatten lists the components of c in order, those of a Sequence in its place.
// It is empty for nil.
func flatten(c *component, members func(*component) []component) []*component {
	if c == nil {
		return nil
	}
	if c.Type != "Sequence" {
		return []*component{c}
	}
	var out []*component
	list := members(c)
	for i := range list {
		out = append(out, flatten(&list[i], members)...)
	}
	return out
}

// isTrue is the value of an optional flag whose default is true.
func isTrue(flag *bool) bool { return flag == nil || *flag }
