package data

import (
	"fmt"
	"slices"

	"bdlora/data/chat"
)

// Row is one row of a dataset, before tokenizing.
type Row struct {
	File   string
	Line   int // counted from 1
	Format Format
	// Messages is the conversation, of FormatMessages only.
	Messages []chat.Message
	// Prompt is the prompt, question or instruction, Input alpaca's further input,
	// Completion the completion, answer or output.
	Prompt, Input, Completion string
}

// Conversation is the row as turns: its messages, or the prompt (with the input, if
// there is one, on the line after it) as the user's and the completion as the
// assistant's.
func (r *Row) Conversation() []chat.Message {
	if r.Format == FormatMessages {
		return r.Messages
	}
	prompt := r.Prompt
	if r.Input != "" {
		prompt += "\n" + r.Input
	}
	return []chat.Message{{Role: chat.User, Content: prompt}, {Role: chat.Assistant, Content: r.Completion}}
}

// parseRow reads a row of a format. Its errors lack the file and the line.
func parseRow(members []member, format Format) (Row, *RowError) {
	row := Row{Format: format}
	for _, key := range format.fields() {
		if find(members, key) == nil {
			return Row{}, &RowError{Field: key, Err: fmt.Errorf("missing, want it in each row of format %q", format)}
		}
	}
	if bad := refuse(members, "", rowKeys(format)); bad != nil {
		return Row{}, bad
	}
	var bad *RowError
	if format == FormatMessages {
		row.Messages, bad = parseMessages(find(members, "messages").value)
		return row, bad
	}
	keys := format.fields()
	if row.Prompt, bad = find(members, keys[0]).filled(keys[0]); bad != nil {
		return Row{}, bad
	}
	if row.Completion, bad = find(members, keys[1]).filled(keys[1]); bad != nil {
		return Row{}, bad
	}
	if input := find(members, "input"); format == FormatAlpaca && input != nil && !input.empty() {
		row.Input, bad = input.text("input")
	}
	return row, bad
}

// rowKeys are keys of rows that would change the text, but that nothing here reads.
func rowKeys(format Format) []string {
	if format == FormatAlpaca {
		return []string{"system", "history"}
	}
	return []string{"system", "tools", "functions", "documents"}
}

// messageKeys are such keys of messages.
var messageKeys = []string{
	"tool_calls", "function_call", "reasoning_content", "reasoning", "thinking", "weight",
}

// refuse reports the first of the keys that is there and says something: to leave
// it out of the text silently would train on another row than the user's.
func refuse(members []member, field string, keys []string) *RowError {
	for _, m := range members {
		if slices.Contains(keys, m.key) && !m.empty() {
			return m.errorf(path(field, m.key), "got %s, which is not supported: want it empty or left out", m.typeName())
		}
	}
	return nil
}

func parseMessages(list value) ([]chat.Message, *RowError) {
	const field = "messages"
	elements, bad := list.elements(field)
	if bad != nil {
		return nil, bad
	}
	if len(elements) == 0 {
		return nil, list.errorf(field, "%w", ErrEmptyField)
	}
	var messages []chat.Message
	role := "" // of the message before
	for i, element := range elements {
		m, bad := parseMessage(element, fmt.Sprintf("%s[%d]", field, i), role)
		if bad != nil {
			return nil, bad
		}
		messages = append(messages, m)
		role = m.Role
	}
	if !slices.ContainsFunc(messages, func(m chat.Message) bool { return m.Role == chat.Assistant }) {
		return nil, list.errorf(field, "got no turn of the assistant, want at least 1")
	}
	return messages, nil
}

// parseMessage reads the message that comes after one of role before.
func parseMessage(v value, field, before string) (chat.Message, *RowError) {
	members, bad := v.members(field)
	if bad != nil {
		return chat.Message{}, bad
	}
	var texts [2]string
	for i, key := range []string{"role", "content"} {
		m := find(members, key)
		if m == nil {
			return chat.Message{}, v.errorf(path(field, key), "missing, want role and content")
		}
		if texts[i], bad = m.filled(path(field, key)); bad != nil {
			return chat.Message{}, bad
		}
	}
	role := texts[0]
	if want := rolesAfter(before); !slices.Contains(want, role) {
		place := "at the beginning"
		if before != "" {
			place = fmt.Sprintf("after %q", before)
		}
		m := find(members, "role")
		return chat.Message{}, m.errorf(path(field, "role"), "got %q %s, want one of %q", role, place, want)
	}
	if bad := refuse(members, field, messageKeys); bad != nil {
		return chat.Message{}, bad
	}
	return chat.Message{Role: role, Content: texts[1]}, nil
}

// rolesAfter are the roles that may follow one: turns alternate, after a system
// message if there is one. Chat templates take this for granted.
func rolesAfter(role string) []string {
	switch role {
	case "":
		return []string{chat.System, chat.User}
	case chat.User:
		return []string{chat.Assistant}
	}
	return []string{chat.User}
}
