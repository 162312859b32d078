package data

import (
	"fmt"

	"bdlora/data/chat"
)

// The prompts of Stanford Alpaca. Source: github.com/tatsu-lab/stanford_alpaca.
const (
	alpacaPrompt = "Below is an instruction that describes a task. " +
		"Write a response that appropriately completes the request.\n\n" +
		"### Instruction:\n%s\n\n### Response:\n"
	alpacaInputPrompt = "Below is an instruction that describes a task, paired with an input that provides " +
		"further context. Write a response that appropriately completes the request.\n\n" +
		"### Instruction:\n%s\n\n### Input:\n%s\n\n### Response:\n"
)

// Plain is the row as plain text, for models without a chat template: the text that
// the model is given, and the one that it shall answer.
//
//	prompt_completion  prompt, completion, with nothing between: the rows hold the space
//	question_answer    question + "\n", answer
//	alpaca             the prompt of Stanford Alpaca, output
//
// A conversation has no plain layout: it returns an error that wraps
// [chat.ErrNoTemplate].
func (r *Row) Plain() (prompt, completion string, err error) {
	switch {
	case r.Format == FormatQuestionAnswer:
		prompt = r.Prompt + "\n"
	case r.Format == FormatAlpaca && r.Input != "":
		prompt = fmt.Sprintf(alpacaInputPrompt, r.Prompt, r.Input)
	case r.Format == FormatAlpaca:
		prompt = fmt.Sprintf(alpacaPrompt, r.Prompt)
	case r.Format == FormatPromptCompletion:
		prompt = r.Prompt
	default:
		return "", "", fmt.Errorf("format %q needs a chat template: the model folder has %w", r.Format, chat.ErrNoTemplate)
	}
	return prompt, r.Completion, nil
}
