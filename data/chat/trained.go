package chat

import (
	"errors"
	"fmt"
	"strings"
)

// Span is the bytes Start…End-1 of a text.
type Span struct{ Start, End int }

// Sample is a rendered conversation, or the beginning of one, to train on.
type Sample struct {
	Text string
	// Trained are the assistant's turns in the order of the text, apart from each
	// other. Each begins where the generation prompt ends, and holds all that the
	// template writes for the turn, the end of turn included.
	Trained []Span
}

// RenderTrained renders a conversation and finds the assistant's turns in it:
//
//   - where the template marks them by {% generation %}, as it says;
//   - else by rendering the conversation up to each turn, with the generation
//     prompt, and up to its end. Both must be prefixes of the whole text;
//   - else, where the first is a prefix of the second but the template writes the
//     past differently once the conversation goes on, as those that drop old
//     reasoning do, it returns a sample for each turn of the assistant, in which
//     that turn is the last and the only trained one.
//
// So it is one sample, or as many as the assistant has turns. It returns an error
// if there is no such turn, if the first turn of all is one, or if the generation
// prompt is not how the template itself begins a turn.
func (t *Template) RenderTrained(messages []Message) ([]Sample, error) {
	if t.generation {
		return t.marked(messages)
	}
	whole, err := t.Render(messages, false)
	if err != nil {
		return nil, err
	}
	turns, err := t.turns(messages)
	if err != nil {
		return nil, err
	}
	sample := Sample{Text: whole}
	for _, turn := range turns {
		if !strings.HasPrefix(whole, turn.Text) {
			return turns, nil
		}
		sample.Trained = append(sample.Trained, turn.Trained...)
	}
	return []Sample{sample}, nil
}

// turns is the conversation up to the end of each of the assistant's turns, with
// that turn as the only trained one.
func (t *Template) turns(messages []Message) ([]Sample, error) {
	var turns []Sample
	for i, m := range messages {
		if m.Role != Assistant {
			continue
		}
		if i == 0 {
			return nil, errors.New("chat: the first turn is the assistant's, want one of the user before it")
		}
		before, err := t.Render(messages[:i], true)
		if err != nil {
			return nil, err
		}
		text, err := t.Render(messages[:i+1], false)
		if err != nil {
			return nil, err
		}
		if !strings.HasPrefix(text, before) {
			return nil, fmt.Errorf("chat: template: message %d: generation prompt is %q, "+
				"but the turn is written %q: mark the turns by {%% generation %%} in the template",
				i, differing(before, text), differing(text, before))
		}
		turns = append(turns, Sample{Text: text, Trained: []Span{{len(before), len(text)}}})
	}
	if len(turns) == 0 {
		return nil, errors.New("chat: got no turn of the assistant, want at least 1")
	}
	return turns, nil
}

// differing is the part of text, 30 bytes at most, from where it departs from other.
func differing(text, other string) string {
	i := 0
	for i < len(text) && i < len(other) && text[i] == other[i] {
		i++
	}
	return strings.ToValidUTF8(text[i:min(i+30, len(text))], "")
}

// inText are noncharacters, which Unicode keeps for internal use such as this.
var inText = marks{begin: "\uFDD0", end: "\uFDD1"}

// marked finds the turns by {% generation %}.
func (t *Template) marked(messages []Message) ([]Sample, error) {
	for i, m := range messages {
		if strings.ContainsAny(m.Content+m.Role, inText.begin+inText.end) {
			return nil, fmt.Errorf("chat: message %d: got a noncharacter U+FDD0 or U+FDD1, want text without", i)
		}
	}
	text, err := t.render(messages, false, inText)
	if err != nil {
		return nil, err
	}
	var plain strings.Builder
	var spans []Span
	for {
		before, rest, found := strings.Cut(text, inText.begin)
		plain.WriteString(before)
		if !found {
			break
		}
		turn, rest, closed := strings.Cut(rest, inText.end)
		if !closed || strings.Contains(turn, inText.begin) {
			return nil, errors.New("chat: template: {% generation %} within another, want one after another")
		}
		spans = append(spans, Span{plain.Len(), plain.Len() + len(turn)})
		plain.WriteString(turn)
		text = rest
	}
	if len(spans) == 0 {
		return nil, errors.New("chat: template: nothing rendered within {% generation %}, want the assistant's turns")
	}
	return []Sample{{Text: plain.String(), Trained: spans}}, nil
}
