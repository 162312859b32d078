package data_test

import (
	"errors"
	"fmt"
	"io"
	"reflect"
	"slices"
	"strings"
	"testing"

	"bdlora/data"
	"bdlora/data/chat"
)

func rows(in string, format data.Format) (rows []data.Row, err error) {
	var bad data.RowErrors
	for row, err := range data.Rows("f", strings.NewReader(in), format) {
		var rowError *data.RowError
		switch {
		case errors.As(err, &rowError):
			bad = append(bad, rowError)
		case err != nil:
			return nil, err
		default:
			rows = append(rows, row)
		}
	}
	if len(bad) > 0 {
		return rows, bad
	}
	return rows, nil
}

func TestRowsAreDetected(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want data.Row
	}{
		{`{"messages":[{"role":"system","content":"s"},{"role":"user","content":"u"},` +
			`{"role":"assistant","content":"a","tool_calls":null}],"tools":[]}`,
			data.Row{Format: data.FormatMessages, Messages: []chat.Message{
				{Role: chat.System, Content: "s"}, {Role: chat.User, Content: "u"}, {Role: chat.Assistant, Content: "a"}}}},
		{`{"instruction":"i","input":"","output":"o"}`,
			data.Row{Format: data.FormatAlpaca, Prompt: "i", Completion: "o"}},
		{`{"output":"o","input":"x","instruction":"i","history":[]}`,
			data.Row{Format: data.FormatAlpaca, Prompt: "i", Input: "x", Completion: "o"}},
		{`{"prompt":"p","completion":"c","id":7}`,
			data.Row{Format: data.FormatPromptCompletion, Prompt: "p", Completion: "c"}},
		{`{"question":"q \u00e9\ud83d\ude00\ufffd","answer":"a"}`,
			data.Row{Format: data.FormatQuestionAnswer, Prompt: "q é😀\uFFFD", Completion: "a"}},
	} {
		got, err := rows(tt.in, data.FormatAuto)
		tt.want.File, tt.want.Line = "f", 1
		if err != nil || len(got) != 1 || !reflect.DeepEqual(got[0], tt.want) {
			t.Errorf("%s:\ngot  %+v (%v)\nwant %+v", tt.in, got, err, tt.want)
		}
	}
}

func TestBlankLinesLineEndingsAndByteOrderMarkAreNoErrors(t *testing.T) {
	const row = `{"question":"q","answer":"a"}`
	got, err := rows("\uFEFF"+row+"\r\n\r\n  \n"+row, data.FormatAuto)
	if err != nil || len(got) != 2 || got[0].Line != 1 || got[1].Line != 4 {
		t.Errorf("got %+v (%v), want rows in lines 1 and 4", got, err)
	}
}

func TestBadRowsSayWhere(t *testing.T) {
	const good = `{"prompt":"p","completion":"c"}` + "\n"
	turn := func(messages string) string { return `{"messages":[{"role":"user","content":"u"}` + messages + `]}` }
	for _, tt := range []struct{ name, in, want string }{
		{"wrong type", `{"prompt":"p","completion":7}`, `f:1:28: field "completion": got number, want string`},
		{"white space before it", `{"prompt":"p","completion" :  true }`,
			`f:1:31: field "completion": got boolean, want string`},
		{"null", `{"prompt":null,"completion":"c"}`, `f:1:11: field "prompt": got null, want string`},
		{"empty", `{"prompt":"p","completion":" \n"}`, `f:1:28: field "completion": empty`},
		{"missing field", good + `{"prompt":"p"}`,
			`f:2: field "completion": missing, want it in each row of format "prompt_completion"`},
		{"cut off", "\n\n{", `f:3:1: unexpected end of JSON input`},
		{"syntax", `{"prompt":p}`, `f:1:11: invalid character 'p' looking for beginning of value`},
		{"two values", good + `{} {}`, `f:2:4: invalid character '{' after top-level value`},
		{"goes on after a bad row", "{\n" + good + "[",
			"f:1:1: unexpected end of JSON input\nf:3:1: unexpected end of JSON input"},
		{"an array", ` [1]`, `f:1:2: got array, want object`},
		{"a number", `12`, `f:1:1: got number, want object`},
		{"not UTF-8", `{"prompt":"` + "\xff" + `"}`, `f:1:12: got byte 0xff, want UTF-8`},
		{"UTF-16", "\xff\xfe{\x00", `f:1:1: got byte 0xff, want UTF-8`},
		{"half a surrogate pair", `{"prompt":"\ud83d","completion":"c"}`,
			`f:1:11: field "prompt": got half a surrogate pair (\ud800 to \udfff), want both`},
		{"a byte order mark inside", good + "\uFEFF{}", `f:2:1: invalid character 'ï' looking for beginning of value`},
		{"key twice", `{"prompt":"p","prompt":"p","completion":"c"}`,
			`f:1:24: field "prompt": got the key twice, want it once`},
		{"too deep", strings.Repeat("[", 20000), "f:1:10001: invalid character '[' exceeded max depth"},
		{"what the text would lack", `{"instruction":"i","output":"o","system":"s"}`,
			`f:1:42: field "system": got string, which is not supported: want it empty or left out`},
		{"input not a string", `{"instruction":"i","output":"o","input":[1]}`,
			`f:1:41: field "input": got array, want string`},
		{"messages not a list", `{"messages":"hello"}`, `f:1:13: field "messages": got string, want array`},
		{"no messages", `{"messages":[]}`, `f:1:13: field "messages": empty`},
		{"message not an object", `{"messages":["hello"]}`, `f:1:14: field "messages[0]": got string, want object`},
		{"no content", `{"messages":[{"role":"user"}]}`,
			`f:1:14: field "messages[0].content": missing, want role and content`},
		{"content of parts", turn(`,{"role":"assistant","content":[{"text":"a"}]}`),
			`f:1:74: field "messages[1].content": got array, want string`},
		{"no answer", turn(""), `f:1:13: field "messages": got no turn of the assistant, want at least 1`},
		{"unknown role", turn(`,{"role":"gpt","content":"a"}`),
			`f:1:52: field "messages[1].role": got "gpt" after "user", want one of ["assistant"]`},
		{"role twice", turn(`,{"role":"user","content":"a"}`),
			`f:1:52: field "messages[1].role": got "user" after "user", want one of ["assistant"]`},
		{"system later", turn(`,{"role":"system","content":"a"}`),
			`f:1:52: field "messages[1].role": got "system" after "user", want one of ["assistant"]`},
		{"answer first", `{"messages":[{"role":"assistant","content":"a"}]}`,
			`f:1:22: field "messages[0].role": got "assistant" at the beginning, want one of ["system" "user"]`},
		{"tool call", turn(`,{"role":"assistant","content":"a","tool_calls":[{}]}`),
			`f:1:91: field "messages[1].tool_calls": got array, which is not supported: want it empty or left out`},
		{"no format", `{"text":"a","label":1}`, `f:1:1: got keys ["text" "label"], want messages, ` +
			`or instruction and output, or prompt and completion, or question and answer`},
		{"no format ends it", `{"text":"a"}` + "\n{", `f:1:1: got keys ["text"], want messages, ` +
			`or instruction and output, or prompt and completion, or question and answer`},
		{"the first row decides", "{\n" + good + `{"question":"q","answer":"a"}`,
			"f:1:1: unexpected end of JSON input\n" +
				`f:3: field "prompt": missing, want it in each row of format "prompt_completion"`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := rows(tt.in, data.FormatAuto)
			if got := fmt.Sprint(err); got != tt.want {
				t.Errorf("got  %s\nwant %s", got, tt.want)
			}
		})
	}
}

func TestAHugeLineIsSkipped(t *testing.T) {
	const row = `{"question":"q","answer":"a"}`
	for _, end := range []string{"\n" + row, "\n" + row + "\n", ""} {
		got, err := rows(row+"\n"+strings.Repeat("x", 17<<20)+end, data.FormatAuto)
		want := 1 + strings.Count(end, row)
		const message = "f:2: row too long: more than 16777216 bytes"
		if !errors.Is(err, data.ErrRowTooLong) || err.Error() != message || len(got) != want {
			t.Errorf("got %d rows, %v; want %d and line 2 refused", len(got), err, want)
		}
	}
}

func TestAnUnreadableStreamIsAnError(t *testing.T) {
	in := io.MultiReader(strings.NewReader(`{"question":"q","answer":"a"}`+"\n"), failing{})
	var got []string
	for row, err := range data.Rows("f", in, data.FormatAuto) {
		got = append(got, fmt.Sprint(row.Line, err))
	}
	if want := []string{"1 <nil>", "0 f: after line 1: disk on fire"}; !reflect.DeepEqual(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, errors.New("disk on fire") }

func TestRowErrorsShowTenAndTheirNumber(t *testing.T) {
	_, err := rows(strings.Repeat("[]\n", 12), data.FormatMessages)
	var bad data.RowErrors
	if !errors.As(err, &bad) || len(bad) != 12 {
		t.Fatalf("got %v, want 12 row errors", err)
	}
	lines := strings.Split(err.Error(), "\n")
	if len(lines) != 11 || lines[9] != "f:10:1: got array, want object" || lines[10] != "10 of 12 bad rows shown" {
		t.Errorf("got %q", lines)
	}
	var first *data.RowError
	if !errors.As(err, &first) || first.Line != 1 {
		t.Errorf("got %v as the first, want that of line 1", first)
	}
}

func answered(row data.Row) bool {
	return slices.ContainsFunc(row.Conversation(), func(m chat.Message) bool {
		return m.Role == chat.Assistant && strings.TrimSpace(m.Content) != ""
	})
}

// Whatever the bytes: no panic, every error says where, and lines only go up.
func FuzzExamples(f *testing.F) {
	f.Add([]byte("{\"prompt\":\"p\",\"completion\":\"c\"}\n\n{"))
	f.Add([]byte(`{"messages":[{"role":"user","content":"u"},{"role":"assistant","content":"a"}]}`))
	f.Add([]byte("\uFEFF{\"question\":\"\\ud800\",\"answer\":[]}\r\n[1,\"\xff\"]\r\n"))
	f.Add([]byte(`{"instruction":"i","input":{},"output":"o","output":"p"}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		last := strings.Count(string(in), "\n") + 1
		line := 0
		for row, err := range data.Rows("f", strings.NewReader(string(in)), data.FormatAuto) {
			at := row.Line
			if bad, ok := err.(*data.RowError); ok {
				at = bad.Line
				if bad.File != "f" || bad.Err == nil || bad.Col < 0 || bad.Col > len(in)+1 {
					t.Fatalf("got place %s:%d:%d of %v", bad.File, bad.Line, bad.Col, bad.Err)
				}
			} else if err != nil {
				t.Fatalf("got an error without a place: %v", err)
			} else if !answered(row) {
				t.Fatalf("got %+v, want a turn of the assistant with text", row)
			}
			if at <= line || at > last {
				t.Fatalf("got line %d after line %d of %d", at, line, last)
			}
			line = at
		}
	})
}

func ExampleRows() {
	file := strings.NewReader(`{"prompt":"2+2?","completion":4}`)
	for _, err := range data.Rows("train.jsonl", file, data.FormatAuto) {
		fmt.Println(err)
	}
	// Output: train.jsonl:1:31: field "completion": got number, want string
}
