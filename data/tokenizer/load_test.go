package tokenizer_test

import (
	"encoding/json"
	"errors"
	"io/fs"
	"slices"
	"strings"
	"testing"

	"bdlora/data/tokenizer"
)

// tiny is a tokenizer of a few letters; tests replace parts of it.
const tiny = `{
	"added_tokens": [{"id": 5, "content": "<s>", "special": true}],
	"normalizer": null,
	"pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false},
	"post_processor": null,
	"decoder": {"type": "ByteLevel"},
	"model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4}, "merges": [["a", "b"], ["ab", "c"]]}
}`

// tinyWith is tiny with the stage or setting key replaced, "model.x" being x of the
// model.
func tinyWith(t testing.TB, key, value string) []byte {
	t.Helper()
	var c map[string]any
	if err := json.Unmarshal([]byte(tiny), &c); err != nil {
		t.Fatal(err)
	}
	place := c
	if name, ok := strings.CutPrefix(key, "model."); ok {
		place, key = c["model"].(map[string]any), name
	}
	var parsed any
	if err := json.Unmarshal([]byte(value), &parsed); err != nil {
		t.Fatal(err)
	}
	place[key] = parsed
	text, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	return text
}

func TestUnsupportedIsRefusedByName(t *testing.T) {
	for _, test := range []struct{ key, value, want string }{
		{"normalizer", `{"type": "NFKC"}`, `normalizer: type "NFKC"`},
		{"normalizer", `{"type": "Sequence", "normalizers": [{"type": "NFC"}, {"type": "Lowercase"}]}`, `"Lowercase"`},
		{"pre_tokenizer", `null`, "does not end in ByteLevel"},
		{"pre_tokenizer", `{"type": "Metaspace"}`, "does not end in ByteLevel"},
		{"pre_tokenizer", `{"type": "ByteLevel"}`, "add_prefix_space true"},
		{"pre_tokenizer", sequence(`{"type": "Punctuation"}`), "Punctuation: not supported"},
		{"pre_tokenizer", sequence(`{"type": "ByteLevel", "add_prefix_space": false}`), "ByteLevel before ByteLevel"},
		{"pre_tokenizer", split(`"pattern": {"Regex": "x+"}, "behavior": "Isolated"`), `map["Regex":"x+"]`},
		{"pre_tokenizer", split(`"pattern": {"String": " "}, "behavior": "Isolated"`), `map["String":" "]`},
		{"pre_tokenizer", split(`"pattern": {}, "behavior": "Removed"`), `behavior "Removed"`},
		{"pre_tokenizer", split(`"behavior": "Isolated", "invert": true`), "invert true"},
		{"post_processor", `{"type": "RobertaProcessing"}`, `post_processor: type "RobertaProcessing"`},
		{"post_processor", `{"type": "TemplateProcessing", "single": []}`, "single has the text 0 times"},
		{"decoder", `null`, "decoder: []"},
		{"decoder", `{"type": "Sequence", "decoders": [{"type": "ByteLevel"}, {"type": "Fuse"}]}`, `"Fuse"]: not`},
		{"model.type", `"WordPiece"`, `model: type "WordPiece"`},
		{"model", `{"type": "Unigram", "vocab": [["a", 0.5]]}`, `model: type "Unigram"`},
		{"model.byte_fallback", `true`, "byte_fallback, as in Llama 2"},
		{"model.dropout", `0.1`, "dropout 0.1"},
		{"model.continuing_subword_prefix", `"##"`, `continuing_subword_prefix "##"`},
		{"model.end_of_word_suffix", `"</w>"`, `end_of_word_suffix "</w>"`},
	} {
		_, err := tokenizer.Parse(tinyWith(t, test.key, test.value))
		if !errors.Is(err, tokenizer.ErrUnsupported) || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s %s: got error %v, want %v and %q",
				test.key, test.value, err, tokenizer.ErrUnsupported, test.want)
		}
	}
}

// sequence is a pre-tokenizer of first and ByteLevel.
func sequence(first string) string {
	return `{"type": "Sequence", "pretokenizers": [` + first + `, {"type": "ByteLevel", "add_prefix_space": false}]}`
}

// split is a pre-tokenizer of a Split with these members and ByteLevel.
func split(members string) string { return sequence(`{"type": "Split", ` + members + `}`) }

func TestContradictionsAreRefused(t *testing.T) {
	added := func(id, content string) string { return `[{"id": ` + id + `, "content": "` + content + `"}]` }
	template := `{"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]`
	for _, test := range []struct{ key, value, want string }{
		{"added_tokens", added("6", "<s>"), `token "<s>": id is 6, want 0 to 5 for 6 tokens`},
		{"added_tokens", added("-1", "<s>"), `token "<s>": id is -1`},
		{"added_tokens", added("4", "<s>"), `both have the id 4`},
		{"added_tokens", added("5", "ab"), `added_tokens: "ab": id is 5, but also 2`},
		{"added_tokens", added("5", ""), `added_tokens: id 5: content is empty`},
		{"model.merges", `[["a", "c"]]`, `merges[0]: "a" and "c", or both as one, are not in the vocabulary`},
		{"model.merges", `["a b", "abc"]`, `merges[1]: got 1 parts`},
		{"model.merges", `[["a", "b"], ["a", "b", "c"]]`, `merges[1]: got 3 parts`},
		{"model.merges", `[1]`, "cannot unmarshal"},
		{"model.unk_token", `"<unk>"`, `unk_token "<unk>" is not in the vocabulary`},
		{"model.vocab", `{"a": 1.5}`, "1.5"},
		{"post_processor", template + `}`, `token "<s>" of single is not in special_tokens`},
		{"post_processor", template + `, "special_tokens": {"<s>": {"ids": [6]}}}`, `token "<s>": id is 6, want 0`},
	} {
		_, err := tokenizer.Parse(tinyWith(t, test.key, test.value))
		if err == nil || !strings.Contains(err.Error(), test.want) || errors.Is(err, tokenizer.ErrUnsupported) {
			t.Errorf("%s %s: got error %v, want %q", test.key, test.value, err, test.want)
		}
	}
}

func TestLoadOfNoFile(t *testing.T) {
	if _, err := tokenizer.Load(t.TempDir()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("got error %v, want %v", err, fs.ErrNotExist)
	}
}

func TestMergesOfEitherSpellingAreTheSame(t *testing.T) {
	for _, merges := range []string{`[["a", "b"], ["ab", "c"]]`, ` [ "a b", "ab c" ] `} {
		wantIDs(t, tinyWith(t, "model.merges", merges), "abcab", 4, 2)
	}
	wantIDs(t, tinyWith(t, "model.merges", `[]`), "ab", 0, 1)
}

// A pair that stands twice has the later rank, here that of "bc" before "ab".
func TestALaterMergeReplacesAnEarlier(t *testing.T) {
	text := tinyWith(t, "model", `{"vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "bc": 4},
		"merges": ["a b", "b c", "a b"]}`)
	wantIDs(t, text, "abc", 0, 4)
}

// When b and c have merged, the merge of a and b is off, and a and bc is another.
func TestAMergeThatLostItsPartnerIsOff(t *testing.T) {
	text := tinyWith(t, "model", `{"vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "bc": 4, "abc": 6},
		"merges": ["b c", "a b", "a bc"]}`)
	wantIDs(t, text, "abc", 6)
}

// Equal ranks merge from the left.
func TestEqualPairsMergeFromTheLeft(t *testing.T) {
	text := tinyWith(t, "model", `{"vocab": {"a": 0, "aa": 1, "b": 2, "c": 3, "d": 4}, "merges": ["a a"]}`)
	wantIDs(t, text, "aaaaa", 1, 1, 0)
}

func TestWholeWordsComeBeforeMerges(t *testing.T) {
	vocab := tinyWith(t, "model", `{"vocab": {"a": 0, "b": 1, "ab": 2, "c": 3, "abc": 4},
		"merges": ["a b"], "ignore_merges": true}`)
	wantIDs(t, vocab, "abc", 4)
	wantIDs(t, vocab, "abcab", 2, 3, 2)
}

func TestBytesWithoutAToken(t *testing.T) {
	wantIDs(t, []byte(tiny), "xaxyb", 2) // left out, so that a and b are neighbours
	unknown := tinyWith(t, "model.unk_token", `"c"`)
	wantIDs(t, unknown, "axyb", 0, 3, 3, 1)
	fused := strings.Replace(string(unknown), `"unk_token"`, `"fuse_unk":true,"unk_token"`, 1)
	wantIDs(t, []byte(fused), "axybx", 0, 3, 1, 3)
}

func wantIDs(t *testing.T, config []byte, text string, want ...int32) {
	t.Helper()
	tk, err := tokenizer.Parse(config)
	if err != nil {
		t.Fatal(err)
	}
	if got := tk.Encode(text, false); !slices.Equal(got, want) {
		t.Errorf("%q: got %v, want %v", text, got, want)
	}
}
