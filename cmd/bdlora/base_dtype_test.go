package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"testing"
)

// userCache is a fresh cache folder of the user's, whatever the system.
func userCache(t *testing.T) string {
	t.Helper()
	home := t.TempDir()
	for _, name := range []string{"HOME", "XDG_CACHE_HOME", "LocalAppData"} {
		t.Setenv(name, home)
	}
	dir, err := os.UserCacheDir()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "bdlora")
}

// number is the first that stands behind label.
func number(t *testing.T, text, label string) float64 {
	t.Helper()
	m := regexp.MustCompile(label + `\s*([\d.]+)`).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("want %q and a number in\n%s", label, text)
	}
	x, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

func TestTheJobOnABaseIn4Bits(t *testing.T) {
	cache := userCache(t)
	dir := unpacked(t)
	model, out := filepath.Join(dir, "model"), filepath.Join(dir, "out")

	r := must(t, append(shortRun(dir), "--base-dtype", "nf4")...)
	expectIn(t, r.stderr, `quantising the base model.*layer 1 of 4`, `quantised 4 layers`, `eval_loss`)
	if entries, err := os.ReadDir(cache); err != nil || len(entries) != 2 {
		t.Errorf("%s: got %v and error %v, want a cache and a lock", cache, entries, err)
	}
	r = bdloraWith("", "resume", out, "base_dtype=int8")
	if r.code != exitFailed {
		t.Errorf("resume with another base_dtype: exit code %d, want %d", r.code, exitFailed)
	}
	expectIn(t, r.stderr, `base_dtype: the checkpoint has nf4, this run has int8`, `hint: `)

	args := []string{"eval", "--adapter", out, "--dataset", filepath.Join(dir, "heldout.jsonl")}
	plain := number(t, must(t, args...).stdout, "loss:")
	for base, most := range map[string]float64{"int8": 0.01, "nf4": 0.3} {
		loss := number(t, must(t, append(args, "--base_dtype", base)...).stdout, "loss:")
		if off := loss - plain; loss == plain || off > most || off < -most {
			t.Errorf("%s: loss is %g, want it near %g of float weights and not the same", base, loss, plain)
		}
	}
	must(t, "generate", "--adapter", out, "--base_dtype", "nf4", "--prompt", "hello", "--max_new_tokens", "4")
	merged := filepath.Join(dir, "merged")
	must(t, "export", "--adapter", out, "--format", "merged", "--output", merged)
	args = []string{"eval", "--model", merged, "--dataset", filepath.Join(dir, "heldout.jsonl")}
	if loss := number(t, must(t, args...).stdout, "loss:"); loss-plain > 0.02 || plain-loss > 0.02 {
		t.Errorf("merged: loss is %g, want about %g: that of the model's own weights with the adapter", loss, plain)
	}
	whole := number(t, must(t, "plan", "--model", model).stdout, "weights, mapped from their files")
	small := number(t, must(t, "plan", "--model", model, "--base_dtype", "nf4").stdout, "weights, mapped from their files")
	if !(small < 0.6*whole) {
		t.Errorf("plan: got %g MiB of weights in nf4, want much less than %g", small, whole)
	}
}

func TestBaseDtypesAreChecked(t *testing.T) {
	dir := unpacked(t)
	if r := bdloraWith("", append(shortRun(dir), "base_dtype=fp4")...); r.code != exitFailed {
		t.Errorf("train: exit code %d, want %d", r.code, exitFailed)
	} else {
		expectIn(t, r.stderr, `base_dtype: got "fp4", want "auto" or "int8" or "nf4"`)
	}
	for _, command := range []string{"eval", "generate", "plan"} {
		args := []string{command, "--model", filepath.Join(dir, "model"), "--base_dtype", "fp4"}
		if command == "eval" {
			args = append(args, "--dataset", filepath.Join(dir, "heldout.jsonl"))
		}
		r := bdloraWith("", args...)
		if r.code != exitUsage {
			t.Errorf("%s: exit code %d, want %d\n%s", command, r.code, exitUsage, r.stderr)
		}
		expectIn(t, r.stderr, `--base_dtype: got "fp4"`)
	}
}

// A cache folder that cannot be made is an error that says which setting to change.
func TestCacheThatCannotBeWritten(t *testing.T) {
	dir := unpacked(t)
	file := filepath.Join(dir, "train.jsonl")
	r := bdloraWith("", append(shortRun(dir), "base_dtype=nf4", "cache_dir="+filepath.Join(file, "cache"))...)
	if r.code != exitFailed {
		t.Errorf("exit code %d, want %d", r.code, exitFailed)
	}
	expectIn(t, r.stderr, `cache_dir: .*train\.jsonl`)
}
