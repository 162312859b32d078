package data

import (
	"errors"
	"fmt"

	"bdlora/data/chat"
	"bdlora/data/tokenizer"
)

// Tokenizer is what an [Encoder] needs of a [tokenizer.Tokenizer]. Its methods are
// called concurrently.
type Tokenizer interface {
	// Encode returns the tokens of a text, with those that the tokenizer puts around
	// any text if addSpecial is set.
	Encode(text string, addSpecial bool) []int32
	// EncodeOffsets returns the tokens of a text, none around it, with their places.
	EncodeOffsets(text string) []tokenizer.Piece
	// TokenID is the number of the token that is written so.
	TokenID(token string) (id int32, ok bool)
}

// Encoder turns rows into examples. It may be used concurrently.
//
// With a chat template each row is a conversation, which the template writes out
// whole, beginning of sequence included, as it does in a server; nothing is added.
// Without one, base models' rows are plain text: see [Row.Plain]. There the
// beginning of sequence comes first if the tokenizer puts it before any text, and
// the text does not begin with it already.
type Encoder struct {
	cfg       Config
	tokenizer Tokenizer
	template  *chat.Template
	eos       string
	bos       []int32 // what plain text begins with: one token or none
	bosText   string
}

// NewEncoder makes an encoder of the parts of a model folder. template is nil if the
// folder has none; special is then asked for eos_token and bos_token.
//
// It returns an error if cfg is invalid or eos_token is needed and missing.
func NewEncoder(cfg Config, t Tokenizer, template *chat.Template, special chat.Special) (*Encoder, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	e := &Encoder{cfg: cfg, tokenizer: t, template: template, eos: special["eos_token"]}
	if template != nil {
		return e, nil
	}
	if _, ok := t.TokenID(e.eos); !ok {
		return nil, fmt.Errorf("data: eos_token is %q, want a token of the tokenizer, to end answers with, "+
			"since there is no chat template", e.eos)
	}
	e.bosText = special["bos_token"]
	bos, ok := t.TokenID(e.bosText)
	if around := t.Encode("", true); ok && len(around) > 0 && around[0] == bos {
		e.bos = around[:1]
	}
	return e, nil
}

// OpenEncoder makes an encoder of a model folder's tokenizer and chat template.
func OpenEncoder(dir string, cfg Config) (*Encoder, error) {
	t, err := tokenizer.Load(dir)
	if err != nil {
		return nil, err
	}
	template, err := chat.Load(dir, cfg.Now)
	if err != nil && !errors.Is(err, chat.ErrNoTemplate) {
		return nil, err
	}
	special, err := chat.LoadSpecial(dir)
	if err != nil {
		return nil, err
	}
	return NewEncoder(cfg, t, template, special)
}

// Encode tokenizes a row into one example, or into several where only so each turn
// of the assistant sees what it would see when served (see
// [chat.Template.RenderTrained]); or into none if the row is too long and dropped.
// counts is what happened to it.
//
// The text is tokenized once. A token is trained if its first byte is in a turn of
// the assistant. An error is a [*RowError].
func (e *Encoder) Encode(row Row) (examples []Example, counts Counts, err error) {
	all, counts, err := e.encode(&row)
	for _, a := range all {
		examples = append(examples, a.Example)
	}
	return examples, counts, err
}

// annotated is an example with the text it was made of.
type annotated struct {
	Example
	text   string
	added  int               // tokens before the text's own
	places []tokenizer.Piece // of the text's own tokens
}

func (e *Encoder) encode(row *Row) (all []annotated, counts Counts, err error) {
	counts.Rows = 1
	samples, err := e.samples(row)
	if err != nil {
		return nil, counts, &RowError{File: row.File, Line: row.Line, Err: err}
	}
	for _, sample := range samples {
		a, straddling := e.tokenize(sample)
		a.File, a.Line = row.File, row.Line
		counts.Straddling += straddling
		keep, err := e.fit(&a.Example, &counts)
		if err != nil {
			return nil, counts, &RowError{File: row.File, Line: row.Line, Err: err}
		}
		if keep {
			all = append(all, a)
		}
	}
	return all, counts, nil
}

// EncodePrompt tokenizes a conversation up to where the assistant answers, just as a
// row's would be: without a chat template it is the prompt alone, as the only message.
func (e *Encoder) EncodePrompt(messages []chat.Message) ([]int32, error) {
	if e.template != nil {
		text, err := e.template.Render(messages, true)
		if err != nil {
			return nil, err
		}
		return e.tokenizer.Encode(text, false), nil
	}
	if len(messages) != 1 || messages[0].Role != chat.User {
		return nil, fmt.Errorf("data: got %d messages, want one of the user: %w", len(messages), chat.ErrNoTemplate)
	}
	a, _ := e.tokenize(chat.Sample{Text: messages[0].Content})
	return a.Tokens, nil
}

// samples writes out a row.
func (e *Encoder) samples(row *Row) ([]chat.Sample, error) {
	if e.template == nil {
		prompt, completion, err := row.Plain()
		if err != nil {
			return nil, err
		}
		text := prompt + completion + e.eos
		return []chat.Sample{{Text: text, Trained: []chat.Span{{Start: len(prompt), End: len(text)}}}}, nil
	}
	if e.cfg.TrainOnPrompt {
		text, err := e.template.Render(row.Conversation(), false)
		return []chat.Sample{{Text: text}}, err
	}
	samples, err := e.template.RenderTrained(row.Conversation())
	if err == nil && e.cfg.MaskHistory {
		samples = samples[len(samples)-1:]
		spans := samples[0].Trained
		samples[0].Trained = spans[len(spans)-1:]
	}
	return samples, err
}

// tokenize also counts the tokens that begin before a trained span and end in it.
func (e *Encoder) tokenize(sample chat.Sample) (a annotated, straddling int) {
	a.text, a.places = sample.Text, e.tokenizer.EncodeOffsets(sample.Text)
	if len(e.bos) > 0 && (len(a.places) == 0 || a.places[0].ID != e.bos[0]) {
		a.Tokens, a.added = append(a.Tokens, e.bos...), len(e.bos)
	}
	a.Trained = make([]bool, a.added, a.added+len(a.places))
	spans := sample.Trained
	for _, t := range a.places {
		for len(spans) > 0 && t.Start >= spans[0].End {
			spans = spans[1:]
		}
		trained := e.cfg.TrainOnPrompt
		if len(spans) > 0 {
			trained = trained || t.Start >= spans[0].Start
			if t.Start < spans[0].Start && t.End > spans[0].Start {
				straddling++
			}
		}
		a.Tokens = append(a.Tokens, t.ID)
		a.Trained = append(a.Trained, trained)
	}
	if len(a.Trained) > 0 {
		a.Trained[0] = false
	}
	return a, straddling
}

// fit applies the strategy for what is too long, and refuses what trains nothing.
func (e *Encoder) fit(example *Example, counts *Counts) (keep bool, err error) {
	length, limit := len(example.Tokens), e.cfg.MaxLength
	if limit > 0 && length > limit {
		switch e.cfg.ExcessLength {
		case ExcessDrop:
			counts.Dropped++
			return false, nil
		case ExcessRaise:
			return false, fmt.Errorf("%w: %d tokens, want at most %d (max_length)", ErrRowTooLong, length, limit)
		}
		counts.Truncated++
		example.Tokens, example.Trained = example.Tokens[:limit], example.Trained[:limit]
		if example.TrainedTokens() == 0 {
			return false, fmt.Errorf("%w in the first %d of %d tokens (max_length)", ErrNoTrainedTokens, limit, length)
		}
	}
	if example.TrainedTokens() == 0 {
		return false, fmt.Errorf("%w: %d tokens, want one of the assistant's", ErrNoTrainedTokens, length)
	}
	return true, nil
}
