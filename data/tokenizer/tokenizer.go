package tokenizer

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// FileName is the file of a model folder that [Load] reads.
const FileName = "tokenizer.json"

// Tokenizer encodes and decodes by the rules of one tokenizer.json. It is safe for
// concurrent use.
type Tokenizer struct {
	vocab        vocabulary
	rawAdded     matcher // added tokens to find in the text as it is
	normalAdded  matcher // added tokens to find in normalized text
	nfc          bool
	splitters    []splitter
	model        *bpe
	prefix, tail []int32 // what the post-processor puts around a text
}

// Load reads the file tokenizer.json of the model folder dir.
//
// It returns errors of the file system, [ErrUnsupported] naming what is, and an
// error that points at any contradiction in the file.
func Load(dir string) (*Tokenizer, error) {
	path := filepath.Join(dir, FileName)
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	t, err := Parse(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return t, nil
}

// Parse is [Load] for the text of a tokenizer.json.
func Parse(text []byte) (*Tokenizer, error) {
	var c config
	if err := json.Unmarshal(text, &c); err != nil {
		if other := checkModel(&c.Model); errors.Is(other, ErrUnsupported) {
			err = fmt.Errorf("model: %w", other) // whose vocabulary has another form
		}
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	t, err := build(&c)
	if err != nil {
		return nil, fmt.Errorf("tokenizer: %w", err)
	}
	return t, nil
}

func build(c *config) (t *Tokenizer, err error) {
	t = &Tokenizer{}
	if t.nfc, err = buildNormalizer(c.Normalizer); err != nil {
		return nil, fmt.Errorf("normalizer: %w", err)
	}
	if t.splitters, err = buildPreTokenizer(c.PreTokenizer); err != nil {
		return nil, fmt.Errorf("pre_tokenizer: %w", err)
	}
	if t.model, err = buildBPE(&c.Model); err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	if t.vocab, err = buildVocabulary(c.Model.Vocab, c.AddedTokens, t.normalize); err != nil {
		return nil, err
	}
	if t.prefix, t.tail, err = buildPostProcessor(c.PostProcessor, len(t.vocab.tokens)); err != nil {
		return nil, fmt.Errorf("post_processor: %w", err)
	}
	if err = checkDecoder(c.Decoder); err != nil {
		return nil, fmt.Errorf("decoder: %w", err)
	}
	t.addTokens(c.AddedTokens)
	return t, nil
}

// addTokens fills the two matchers.
func (t *Tokenizer) addTokens(tokens []addedToken) {
	for i := range tokens {
		a := &tokens[i]
		if a.Normalized {
			t.normalAdded.add(t.normalize(a.Content).text, a)
		} else {
			t.rawAdded.add(a.Content, a)
		}
	}
}

// Len is the number of tokens, the added ones included: ids are 0 … Len()-1.
func (t *Tokenizer) Len() int { return len(t.vocab.tokens) }

// TokenID is the id of the token that the file spells like that, if there is one.
// In the file's spelling a space is Ġ; an added token is itself, as written there.
func (t *Tokenizer) TokenID(token string) (int32, bool) {
	id, ok := t.vocab.ids[token]
	return id, ok
}

// Token is the file's spelling of a token, normalized if it is an added token that
// is looked for in normalized text, or "" if no token has that id.
func (t *Tokenizer) Token(id int32) string {
	if id < 0 || int(id) >= t.Len() {
		return ""
	}
	return t.vocab.tokens[id].spelling
}

// Special tells whether id is an added token that the file marks as special, one
// that [Tokenizer.Decode] can leave out.
func (t *Tokenizer) Special(id int32) bool {
	return id >= 0 && int(id) < t.Len() && t.vocab.tokens[id].special
}
