package tokenizer

import (
	"fmt"
	"sync"
)

// bpe is the model: it splits a word into bytes, then merges neighbours, of all
// pairs the one of lowest rank first and of equals the leftmost, until no pair of
// the word is in the list of merges.
//
// Source: Sennrich, Haddow and Birch, "Neural Machine Translation of Rare Words
// with Subword Units" (2016), on the bytes of GPT-2.
type bpe struct {
	bytes   [256]int32         // the token of a single byte, or noToken
	unknown int32              // the token for bytes that have none, or noToken
	fuse    bool               // one unknown token for a run of such bytes
	words   map[string]int32   // whole words that are tokens without merging
	merges  map[[2]int32]merge // by the ids of the pair
	scratch sync.Pool          // of *merger
}

// noToken stands for no id.
const noToken = -1

// merge is what a pair becomes.
type merge struct{ rank, id int32 }

func buildBPE(c *modelConfig) (*bpe, error) {
	if err := checkModel(c); err != nil {
		return nil, err
	}
	m := &bpe{unknown: noToken, fuse: c.FuseUnk, merges: make(map[[2]int32]merge, len(c.Merges))}
	for b, char := range alphabet() {
		m.bytes[b] = lookUp(c.Vocab, string(char))
	}
	if c.UnkToken != nil {
		if m.unknown = lookUp(c.Vocab, *c.UnkToken); m.unknown == noToken {
			return nil, fmt.Errorf("unk_token %q is not in the vocabulary", *c.UnkToken)
		}
	}
	for rank, pair := range c.Merges {
		left, right := lookUp(c.Vocab, pair[0]), lookUp(c.Vocab, pair[1])
		id := lookUp(c.Vocab, pair[0]+pair[1])
		if left == noToken || right == noToken || id == noToken {
			return nil, fmt.Errorf("merges[%d]: %q and %q, or both as one, are not in the vocabulary",
				rank, pair[0], pair[1])
		}
		m.merges[[2]int32{left, right}] = merge{int32(rank), id}
	}
	if c.IgnoreMerges {
		m.words = wholeWords(c.Vocab)
	}
	m.scratch.New = func() any { return newMerger(m) }
	return m, nil
}

// checkModel refuses by name what buildBPE does not do.
func checkModel(c *modelConfig) error {
	switch {
	case c.Type != "BPE" && c.Type != "":
		return fmt.Errorf("type %q: %w, want BPE", c.Type, ErrUnsupported)
	case c.ByteFallback:
		return fmt.Errorf("byte_fallback, as in Llama 2 and TinyLlama: %w, want byte-level BPE", ErrUnsupported)
	case c.Dropout != nil && *c.Dropout != 0:
		return fmt.Errorf("dropout %g: %w, want none", *c.Dropout, ErrUnsupported)
	case c.ContinuingSubwordPrefix != "":
		return fmt.Errorf("continuing_subword_prefix %q: %w", c.ContinuingSubwordPrefix, ErrUnsupported)
	case c.EndOfWordSuffix != "":
		return fmt.Errorf("end_of_word_suffix %q: %w", c.EndOfWordSuffix, ErrUnsupported)
	}
	return nil
}

func lookUp(vocab map[string]int32, token string) int32 {
	if id, ok := vocab[token]; ok {
		return id
	}
	return noToken
}

// wholeWords is the vocabulary by the bytes that tokens stand for, of those tokens
// that are written in the byte-level alphabet throughout.
func wholeWords(vocab map[string]int32) map[string]int32 {
	words := make(map[string]int32, len(vocab))
	for token, id := range vocab {
		if word, ok := decodeByteLevel(token); ok {
			words[word] = id
		}
	}
	return words
}

// encode appends the pieces of word, which begins at start in the text.
func (m *bpe) encode(dst []Piece, word string, start int) []Piece {
	if id, ok := m.words[word]; ok {
		return append(dst, Piece{id, start, start + len(word)})
	}
	g := m.scratch.Get().(*merger)
	defer m.scratch.Put(g)
	for _, p := range g.pieces(word) {
		dst = append(dst, Piece{p.ID, start + p.Start, start + p.End})
	}
	return dst
}
