package main

import (
	"fmt"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

// servingTable is the table of plan --serve: the cells of each way, by its name.
func servingTable(t *testing.T, args ...string) map[string][]string {
	t.Helper()
	out := must(t, append([]string{"plan", "--serve"}, args...)...).stdout
	_, table, found := strings.Cut(out, "of BD-LoRA's\n")
	if !found {
		t.Fatalf("want a table in\n%s", out)
	}
	rows := map[string][]string{}
	for _, line := range strings.Split(strings.TrimSpace(table), "\n") {
		cells := strings.Fields(line)
		rows[cells[0]] = cells[1:]
	}
	return rows
}

// Rank 32 in 8 blocks has at most the parameters of plain LoRA of rank 16. Only S-LoRA
// makes calls of its own: 4 in each of 32 layers.
func TestPlanServeComparesTheWays(t *testing.T) {
	rows := servingTable(t, "--shape", "llama-3.1-8b", "--nblocks", "8")
	for way, want := range map[string][4]string{
		"none": {"-", "-", "-", "0"}, "S-LoRA": {"16", "41,943,040", "5,242,880", "128"},
		"NFS-LoRA": {"16", "41,943,040", "18,087,936", "0"}, "BD-LoRA": {"32", "36,175,872", "4,521,984", "0"},
	} {
		if got := rows[way]; len(got) != 12 || [4]string(got[:4]) != want || (got[9] == "0.00") != (way != "S-LoRA") {
			t.Errorf("%s: got %q, want it to begin with %q and calls of S-LoRA's alone to take time", way, got, want)
		}
	}
}

// A link of 1,000 µs and no end of bandwidth: a token takes 1 ms for each collective,
// and S-LoRA's 128 are 128 ms.
func TestPlanServeTakesTheUsersLink(t *testing.T) {
	rows := servingTable(t, "--shape", "llama-3.1-8b", "--nblocks", "8", "--link_latency", "1000", "--link_bandwidth", "1e9")
	if got := rows["S-LoRA"]; got[8] != "66.00" || got[9] != "128.00" {
		t.Errorf("got %s and %s ms of calls, want 66.00 and 128.00", got[8], got[9])
	}
}

// The model in a folder is predicted like one of a known shape, and a processor of half
// the speed takes twice as long.
func TestPlanServeTakesTheUsersModelAndProcessor(t *testing.T) {
	computing := func(args ...string) float64 {
		folder := filepath.Join(unpacked(t), "model")
		cell := servingTable(t, append(args, "--model", folder, "--nblocks", "2", "--lora_r", "8")...)["none"][7]
		ms, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			t.Fatal(err)
		}
		return ms
	}
	fast := computing("--read_bandwidth", "0.001", "--tflops", "1e-6")
	slow := computing("--read_bandwidth", "0.0005", "--tflops", "5e-7")
	if fmt.Sprintf("%.3f", slow/fast) != "2.000" {
		t.Errorf("got %g and %g ms, want twice", fast, slow)
	}
}

func TestPlanServeRefusesWhatItCannotPredict(t *testing.T) {
	for name, test := range map[string]struct {
		args []string
		want []string
	}{
		"all at once":   {[]string{"--serve", "--link", "x", "--batch", "0", "--tflops", "-1"}, []string{`--link: got "x", want one of nvlink, pcie, tcp`, `--batch: got 0`, `--tflops: got -1`}},
		"without serve": {[]string{"--shape", "llama-3.1-8b"}, []string{`--shape: got one without --serve`}},
		"no model":      {[]string{"--serve"}, []string{`--model and --shape: got "" and ""`}},
		"no such shape": {[]string{"--serve", "--shape", "llama-9"}, []string{`--shape: .*"llama-9"`}},
		"some layers":   {[]string{"--serve", "--shape", "llama-3.1-8b", "--lora_r", "8", "--target_modules", "layers.3.mlp.up_proj"}, []string{`mlp.up_proj in 1 of 32 layers`}},
		"adapters":      {[]string{"--serve", "--shape", "llama-3.1-8b", "--adapters", "9"}, []string{`--adapters: got 9, want at most the 8`}},
	} {
		t.Run(name, func(t *testing.T) {
			r := bdloraWith("", append([]string{"plan"}, test.args...)...)
			if r.code != exitUsage {
				t.Errorf("got exit code %d, want %d", r.code, exitUsage)
			}
			expectIn(t, r.stderr, test.want...)
		})
	}
}
