package main

import (
	"path/filepath"
	"testing"

	"bdlora/bdlora"
)

// adapterOf is the output of a short run of the embedded example, whose adapter has
// rank 8 in 4 blocks.
func adapterOf(t *testing.T, more ...string) string {
	t.Helper()
	dir := unpacked(t)
	must(t, shortRun(dir, more...)...)
	return filepath.Join(dir, "out")
}

// Law: converted exactly, an adapter gives the same answers.
func TestConvertedAdaptersAnswerTheSame(t *testing.T) {
	adapter, to := adapterOf(t), t.TempDir()
	ask := []string{"generate", "--prompt", "hello", "--max_new_tokens", "12", "--adapter"}
	want := must(t, append(ask, adapter)...).stdout
	for _, test := range []struct{ name, of, flag, value, plan string }{
		{"joined", adapter, "--nblocks", "2", `to:   rank 8 in 2 blocks .*, alpha 64,`},
		{"plain", adapter, "--nblocks", "1", `to:   rank 8 in 1 blocks .*, alpha 64,`},
		{"padded", adapter, "--lora_r", "32", `to:   rank 32 in 4 blocks .*, alpha 256,`},
		{"cut", filepath.Join(to, "plain"), "--nblocks", "4", `to:   rank 32 in 4 blocks .*, alpha 256,`},
	} {
		t.Run(test.name, func(t *testing.T) {
			out := filepath.Join(to, test.name)
			r := must(t, "convert", "--adapter", test.of, "--output", out, test.flag, test.value)
			expectIn(t, r.stdout, `from: rank 8 in \d blocks .*, alpha 64,`, test.plan, `exact: every ΔW is the same`, `: written`)
			if got := must(t, append(ask, out)...).stdout; got != want {
				t.Errorf("got answer %q, want %q", got, want)
			}
		})
	}
}

func TestConvertReportsWhatIsLost(t *testing.T) {
	adapter, out := adapterOf(t, "nblocks=1"), filepath.Join(t.TempDir(), "new")
	args := []string{"convert", "--adapter", adapter, "--output", out, "--nblocks", "4", "--lora_r", "8"}
	r := bdloraWith("", args...)
	if r.code != exitFailed {
		t.Errorf("got exit code %d, want %d", r.code, exitFailed)
	}
	expectIn(t, r.stdout, `mlp\.down_proj +\d+ +0\.\d+ +0\.\d+ +\d`)
	expectIn(t, r.stderr, `--max_error: the ΔW of .* would be off by 0\.\d+, want at most 0\.01; nothing is lost with --lora_r 32`)
	if err := newFolder(out); err != nil {
		t.Errorf("a refused conversion left files: %v", err)
	}
	must(t, append(args, "--max_error", "1")...)
	expectIn(t, must(t, "inspect", out).stdout, `rank 8 in 4 blocks`)
}

func TestConvertMistakesAreNamed(t *testing.T) {
	adapter, out := adapterOf(t), filepath.Join(t.TempDir(), "new")
	for name, test := range map[string]struct {
		args []string
		code int
		want string
	}{
		"no adapter":  {[]string{"--output", out}, exitUsage, `--adapter: got nothing`},
		"no output":   {[]string{"--adapter", adapter}, exitUsage, `--output: got nothing`},
		"full folder": {[]string{"--adapter", adapter, "--output", adapter}, exitFailed, `has files in it, want a new or empty`},
		"a file": {[]string{"--adapter", adapter, "--output", filepath.Join(adapter, bdlora.PEFTConfigName)}, exitFailed,
			`--output: .*, want a new or empty folder`},
		"negative blocks": {[]string{"--adapter", adapter, "--output", out, "--nblocks", "-2"}, exitUsage, `--nblocks: got -2`},
		"negative rank":   {[]string{"--adapter", adapter, "--output", out, "--lora_r", "-2"}, exitUsage, `--lora_r: got -2`},
		"error above one": {[]string{"--adapter", adapter, "--output", out, "--max_error", "2"}, exitUsage, `--max_error: got 2`},
		"blocks":          {[]string{"--adapter", adapter, "--output", out, "--nblocks", "3"}, exitFailed, `nblocks: 3 does not divide`},
		"rank":            {[]string{"--adapter", adapter, "--output", out, "--lora_r", "6"}, exitFailed, `lora_r: got 6, want a multiple of nblocks 4: 4 or 8`},
	} {
		t.Run(name, func(t *testing.T) {
			r := bdloraWith("", append([]string{"convert"}, test.args...)...)
			if r.code != test.code {
				t.Errorf("got exit code %d, want %d", r.code, test.code)
			}
			expectIn(t, r.stderr, test.want)
		})
	}
}
