package data

// Batch is one micro-batch: sequences one after another, without padding. Each
// begins at position 0, attends to itself alone, and no token is predicted across
// a border.
type Batch struct {
	Tokens    []int32 // [tokens]
	Positions []int32 // [tokens] within its sequence
	Targets   []int32 // [tokens] the token to predict here, or -1 for none
	Lengths   []int   // of each sequence; they sum to tokens
}

// Trained is the number of tokens that have a target.
func (b *Batch) Trained() int {
	trained := 0
	for _, target := range b.Targets {
		if target >= 0 {
			trained++
		}
	}
	return trained
}
