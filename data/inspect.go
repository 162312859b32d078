package data

// MarkedToken is one token of an example as one looks at it.
type MarkedToken struct {
	ID      int32
	Text    string // what it stands for; maybe part of a character only
	Trained bool
}

// Inspect is Encode token by token, for each example.
func (e *Encoder) Inspect(row Row) ([][]MarkedToken, error) {
	all, _, err := e.encode(&row)
	var examples [][]MarkedToken
	for _, a := range all {
		tokens := make([]MarkedToken, len(a.Tokens))
		for i, id := range a.Tokens {
			tokens[i] = MarkedToken{ID: id, Text: e.bosText, Trained: a.Trained[i]}
			if place := i - a.added; place >= 0 {
				tokens[i].Text = a.text[a.places[place].Start:a.places[place].End]
			}
		}
		examples = append(examples, tokens)
	}
	return examples, err
}
