package tokenizer

import "fmt"

// buildPostProcessor lists the tokens that go before and after a text, checked to
// be below tokens.
func buildPostProcessor(c *component, tokens int) (prefix, tail []int32, err error) {
	for _, p := range flatten(c, func(c *component) []component { return c.Processors }) {
		switch p.Type {
		case "ByteLevel": // moves offsets, not tokens
		case "TemplateProcessing":
			before, after, err := template(p, tokens)
			if err != nil {
				return nil, nil, fmt.Errorf("TemplateProcessing: %w", err)
			}
			prefix, tail = append(before, prefix...), append(tail, after...)
		default:
			return nil, nil, fmt.Errorf("type %q: %w, want TemplateProcessing or ByteLevel", p.Type, ErrUnsupported)
		}
	}
	return prefix, tail, nil
}

// template lists the tokens around the one sequence of p.Single.
func template(p *component, tokens int) (before, after []int32, err error) {
	sequences := 0
	for _, item := range p.Single {
		if _, ok := item["Sequence"]; ok {
			sequences++
			continue
		}
		name := item["SpecialToken"].ID
		special, ok := p.SpecialTokens[name]
		if !ok {
			return nil, nil, fmt.Errorf("token %q of single is not in special_tokens", name)
		}
		for _, id := range special.IDs {
			if id < 0 || int(id) >= tokens {
				return nil, nil, fmt.Errorf("token %q: id is %d, want 0 to %d", name, id, tokens-1)
			}
		}
		if sequences == 0 {
			before = append(before, special.IDs...)
		} else {
			after = append(after, special.IDs...)
		}
	}
	if sequences != 1 {
		return nil, nil, fmt.Errorf("single has the text %d times: %w, want once", sequences, ErrUnsupported)
	}
	return before, after, nil
}
