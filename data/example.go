package data

// Example is one sequence to train on, made of one row of a dataset.
type Example struct {
	Tokens []int32
	// Trained says of each token whether the loss is taken on it. Trained[0] is
	// false, since nothing comes before it to predict it from; at least one other
	// is true.
	Trained []bool
	// File and Line are where the row stands, Line counted from 1, for messages.
	File string
	Line int
}

// TrainedTokens is the number of tokens that the loss is taken on.
func (e *Example) TrainedTokens() int {
	trained := 0
	for _, t := range e.Trained {
		if t {
			trained++
		}
	}
	return trained
}

// NewBatch lays examples one after another into a micro-batch. Its target at i is
// the token at i+1 if that one is trained and of the same example, else -1.
func NewBatch(examples ...Example) *Batch {
	tokens := 0
	for i := range examples {
		tokens += len(examples[i].Tokens)
	}
	b := &Batch{
		Tokens:    make([]int32, 0, tokens),
		Positions: make([]int32, 0, tokens),
		Targets:   make([]int32, 0, tokens),
		Lengths:   make([]int, 0, len(examples)),
	}
	for i := range examples {
		b.add(&examples[i])
	}
	return b
}

func (b *Batch) add(e *Example) {
	b.Tokens = append(b.Tokens, e.Tokens...)
	b.Lengths = append(b.Lengths, len(e.Tokens))
	for i := range e.Tokens {
		target := int32(-1)
		if i+1 < len(e.Tokens) && e.Trained[i+1] {
			target = e.Tokens[i+1]
		}
		b.Positions = append(b.Positions, int32(i))
		b.Targets = append(b.Targets, target)
	}
}
