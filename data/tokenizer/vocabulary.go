package tokenizer

import "fmt"

// vocabulary is all tokens, the model's and the added ones, by id and by spelling.
type vocabulary struct {
	ids    map[string]int32
	tokens []token // by id
}

// token is one entry of the vocabulary.
type token struct {
	spelling string // as in tokenizer.json
	bytes    string // what it adds to a text
	special  bool
}

// newToken is the token of that spelling. The library gives an added token back as
// its normalizer leaves it.
func newToken(spelling string, flags addedToken, normalize func(string) normalized) token {
	if flags.Normalized {
		spelling = normalize(spelling).text
	}
	text, _ := decodeByteLevel(spelling)
	return token{spelling, text, flags.Special}
}

// buildVocabulary joins the model's tokens and the added ones, and sees that the
// ids are 0 … n-1, each once, and that an added token does not get another id than
// the model gave it.
func buildVocabulary(
	model map[string]int32, added []addedToken, normalize func(string) normalized,
) (vocabulary, error) {
	ids := make(map[string]int32, len(model)+len(added))
	for spelling, id := range model {
		ids[spelling] = id
	}
	flags := map[string]addedToken{}
	for _, a := range added {
		if a.Content == "" {
			return vocabulary{}, fmt.Errorf("added_tokens: id %d: content is empty", a.ID)
		}
		if id, ok := ids[a.Content]; ok && id != a.ID {
			return vocabulary{}, fmt.Errorf("added_tokens: %q: id is %d, but also %d", a.Content, a.ID, id)
		}
		ids[a.Content] = a.ID
		flags[a.Content] = a
	}
	tokens, taken := make([]token, len(ids)), make([]bool, len(ids))
	for spelling, id := range ids {
		if id < 0 || int(id) >= len(ids) {
			return vocabulary{}, fmt.Errorf("token %q: id is %d, want 0 to %d for %d tokens",
				spelling, id, len(ids)-1, len(ids))
		}
		if taken[id] {
			return vocabulary{}, fmt.Errorf("tokens %q and %q: both have the id %d", spelling, tokens[id].spelling, id)
		}
		taken[id] = true
		tokens[id] = newToken(spelling, flags[spelling], normalize)
	}
	return vocabulary{ids, tokens}, nil
}
