package tokenizer

import "slices"

// Piece is one token of a text and the bytes [Start, End) that it stands for.
type Piece struct {
	ID         int32
	Start, End int
}

// Encode returns the tokens of text. Added tokens that are written out in it, like
// <|im_end|>, count as those tokens. With addSpecial, the tokens that the file's
// post-processor puts around a text, like <|begin_of_text|>, are put around it.
//
// A byte that is not UTF-8 is encoded as that byte.
func (t *Tokenizer) Encode(text string, addSpecial bool) []int32 {
	pieces := t.EncodeOffsets(text)
	ids := make([]int32, 0, len(t.prefix)+len(pieces)+len(t.tail))
	if addSpecial {
		ids = append(ids, t.prefix...)
	}
	for _, p := range pieces {
		ids = append(ids, p.ID)
	}
	if addSpecial {
		ids = append(ids, t.tail...)
	}
	return ids
}

// EncodeOffsets returns the tokens of text with their places, and puts none around
// it. The pieces follow each other without gap or overlap, except that
//   - bytes for which the vocabulary has no token are in no piece;
//   - characters that the normalizer changes, with the marks that combine with
//     them, are a whole: pieces that share them overlap there.
//
// A token can be a part of a character, so Start and End may lie within one. A word
// mostly has the space before it in its first piece.
func (t *Tokenizer) EncodeOffsets(text string) []Piece {
	var pieces []Piece
	t.rawAdded.split(text, func(a *addedToken, start, end int) {
		if a != nil {
			pieces = append(pieces, Piece{a.ID, start, end})
			return
		}
		n := t.normalize(text[start:end])
		from := len(pieces)
		pieces = t.encodeNormal(pieces, n.text)
		for i := range pieces[from:] {
			p := &pieces[from+i]
			p.Start, p.End = n.original(p.Start, p.End)
			p.Start, p.End = p.Start+start, p.End+start
		}
	})
	return slices.Clip(pieces)
}

// encodeNormal appends the pieces of a normalized text.
func (t *Tokenizer) encodeNormal(pieces []Piece, text string) []Piece {
	t.normalAdded.split(text, func(a *addedToken, start, end int) {
		if a != nil {
			pieces = append(pieces, Piece{a.ID, start, end})
			return
		}
		words(t.splitters, text[start:end], start, func(start, end int) {
			pieces = t.model.encode(pieces, text[start:end], start)
		})
	})
	return pieces
}
