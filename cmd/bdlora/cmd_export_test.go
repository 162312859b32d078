package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bdlora/bdlora"
)

// Law: what is exported for vLLM is the adapter, padded, and comes with the command.
func TestExportForVLLM(t *testing.T) {
	adapter, out := adapterOf(t, "lora_r=12"), filepath.Join(t.TempDir(), "served")
	r := must(t, "export", "--adapter", adapter, "--format", "vllm", "--output", out)
	expectIn(t, r.stdout, `rank 12 in 4 blocks`, `rank 16 in it; serve it by:\nvllm serve \S+model --enable-lora `+
		`--tensor-parallel-size 4 --max-lora-rank 16 --block_diagonal_sharded_loras --lora-modules served=\S+served\n`)
	expectIn(t, must(t, "inspect", out).stdout, `rank 16 in 4 blocks`)
	ask := []string{"generate", "--prompt", "hello", "--max_new_tokens", "12", "--adapter"}
	if got, want := must(t, append(ask, out)...).stdout, must(t, append(ask, adapter)...).stdout; got != want {
		t.Errorf("got answer %q, want %q", got, want)
	}
	for _, name := range []string{"README.md", "adapter_config.json", "adapter_model.safetensors"} {
		if _, err := os.Stat(filepath.Join(out, name)); err != nil {
			t.Error(err)
		}
	}
}

func TestExportForVLLMRefusesWhatItWouldMisread(t *testing.T) {
	adapter, plain := adapterOf(t), adapterOf(t, "nblocks=1")
	for name, test := range map[string]struct {
		dir    string
		change []string // old and new parts of the configuration
		want   string
	}{
		"plain LoRA": {plain, nil, `nblocks: got 1, want at least 2`},
		"swapped factors": {adapter, []string{"bd_a", "bd_b", "bd_b", "bd_a"},
			`self_attn\.q_proj has block-diagonal A, want B: it is column-parallel`},
		"both factors": {adapter, []string{`bd_a": [`, `bd_a": ["q_proj", `},
			`self_attn\.q_proj has block-diagonal A and B, want B`},
		"more blocks than key-value heads": {adapter, []string{`"nblocks": 4`, `"nblocks": 8`},
			`8 does not divide 4 key-value heads`},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.CopyFS(dir, os.DirFS(test.dir)); err != nil {
				t.Fatal(err)
			}
			rewriteConfig(t, filepath.Join(dir, bdlora.PEFTConfigName), test.change...)
			out := filepath.Join(t.TempDir(), "served")
			r := bdloraWith("", "export", "--adapter", dir, "--format", "vllm", "--output", out)
			if r.code != exitFailed {
				t.Errorf("got exit code %d, want %d", r.code, exitFailed)
			}
			expectIn(t, r.stderr, test.want)
			if err := newFolder(out); err != nil {
				t.Errorf("a refused export left files: %v", err)
			}
		})
	}
}

// rewriteConfig replaces parts of a file, given as pairs of old and new, each of which
// has to be there.
func rewriteConfig(t *testing.T, path string, change ...string) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(change); i += 2 {
		if !strings.Contains(string(text), change[i]) {
			t.Fatalf("%s is not in\n%s", change[i], text)
		}
	}
	if err := os.WriteFile(path, []byte(strings.NewReplacer(change...).Replace(string(text))), 0o666); err != nil {
		t.Fatal(err)
	}
}
