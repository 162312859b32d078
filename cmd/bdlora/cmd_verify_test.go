package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"bdlora/bdlora"
	"bdlora/kernels/comm"
)

// Law: the shards that a run leaves are the adapter that it leaves, forward and
// backward, whether one process holds one of them or two, and cost nothing to serve.
func TestShardsOfARunAreItsAdapter(t *testing.T) {
	adapter := adapterOf(t)
	for _, flags := range []string{"", "--train", "--train --shards 2"} {
		r := must(t, append([]string{"verify", "--adapter", adapter}, strings.Fields(flags)...)...)
		expectIn(t, r.stdout, `rank 8 in 4 blocks`, `32 tokens through 1 process, and through [24] with their shards each read `+
			`alone from \S+tp4`, `layer 3 +\S+e-\d+ +\S+`, `loss: \S+`, `base +all-reduce +\d+ +[\d,]+`, `adapter +any +0 +0`)
		if got := strings.Contains(r.stdout, "gradients"); got != (flags != "") {
			t.Errorf("%q: got gradients: %t, in\n%s", flags, got, r.stdout)
		}
	}
}

// Law: no shard can be another's, missing or scaled otherwise without verify saying so.
func TestVerifyCatches(t *testing.T) {
	dir := adapterOf(t)
	l, err := openFolders(filepath.Join(filepath.Dir(dir), "model"), dir, "auto")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for name, damage := range map[string]func(a *bdlora.Adapter){
		"swapped blocks":         func(a *bdlora.Adapter) { a.Shards[1], a.Shards[2] = a.Shards[2], a.Shards[1] },
		"a neighbour's block":    func(a *bdlora.Adapter) { a.Shards[3] = a.Shards[0] },
		"a skipped shard":        func(a *bdlora.Adapter) { a.Shards[2] = make([]float32, a.Plan.ShardLen) },
		"another alpha":          func(a *bdlora.Adapter) { a.Plan = replan(t, a.Plan, func(c *bdlora.Config) { c.Alpha *= 1.5 }) },
		"another rule for alpha": func(a *bdlora.Adapter) { a.Plan = replan(t, a.Plan, func(c *bdlora.Config) { c.RSLoRA = true }) },
		"one factor of one linear": func(a *bdlora.Adapter) {
			m := a.Plan.Modules[9]
			swapped := append([]float32(nil), a.Shards[0]...)
			copy(m.B.Of(swapped), m.B.Of(a.Shards[1]))
			a.Shards[0] = swapped
		},
	} {
		t.Run(name, func(t *testing.T) {
			broken := &bdlora.Adapter{Plan: l.adapter.Plan, Shards: append([][]float32(nil), l.adapter.Shards...)}
			damage(broken)
			if err := broken.SaveShards(dir); err != nil {
				t.Fatal(err)
			}
			for _, flag := range []string{"--train=false", "--train"} {
				r := bdloraWith("", "verify", "--adapter", dir, flag)
				if r.code != exitFailed {
					t.Errorf("%s: got exit code %d, want %d, in\n%s", flag, r.code, exitFailed, r.stdout)
				}
				expectIn(t, r.stderr, `(output of|gradient in|the loss).* differs by \S+ of the largest number, want at most 0\.001`)
			}
		})
	}
}

// replan is the plan with another configuration.
func replan(t *testing.T, p *bdlora.Plan, change func(c *bdlora.Config)) *bdlora.Plan {
	t.Helper()
	cfg := p.Config
	change(&cfg)
	plan, err := bdlora.NewPlan(p.Base, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

// Law: an adapter that exchanges anything of its own is not one of BD-LoRA.
func TestVerifyFailsIfTheAdapterCostsCollectives(t *testing.T) {
	var ledger comm.Ledger
	ledger.Add(comm.Base, comm.AllReduce, 8, 0)
	if err := checkLedger(1, &ledger); err != nil {
		t.Errorf("got %v, want no error for collectives of the base alone", err)
	}
	ledger.Add(comm.Adapter, comm.AllGather, 40, 0)
	err := checkLedger(1, &ledger)
	if want := "process 1: got 1 collectives of 40 bytes for the adapter, want none"; err == nil || err.Error() != want {
		t.Errorf("got error %v, want %q", err, want)
	}
	var out strings.Builder
	if err := printLedger(&out, &ledger, 2); err != nil {
		t.Fatal(err)
	}
	expectIn(t, out.String(), `base +all-reduce +1 +8\n`, `adapter +all-gather +1 +40\n`)
	if strings.Contains(out.String(), "any") {
		t.Errorf("got a line that the adapter exchanged nothing in\n%s", &out)
	}
}

func TestVerifyRefusesDamagedShards(t *testing.T) {
	dir := adapterOf(t)
	path := filepath.Join(bdlora.ShardsPath(dir, 4), bdlora.ShardName(2, 4))
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	r := bdloraWith("", "verify", "--adapter", dir)
	if r.code != exitFailed {
		t.Errorf("got exit code %d, want %d", r.code, exitFailed)
	}
	expectIn(t, r.stderr, `process 2 of 4: .*shard-2-of-4\.safetensors`)
}

func TestVerifyMistakesAreNamed(t *testing.T) {
	adapter, plain := adapterOf(t), adapterOf(t, "nblocks=1")
	for name, test := range map[string]struct {
		args string
		code int
		want string
	}{
		"nothing":         {"", exitUsage, `--adapter and --shape: got "" and ""`},
		"both":            {"--adapter ADAPTER --shape llama-3.2-1b", exitUsage, `--adapter and --shape: got ".+" and "llama`},
		"no adapter":      {"--model ADAPTER", exitUsage, `--adapter: got nothing`},
		"unknown shape":   {"--shape llama-9", exitUsage, `--shape: .*"llama-9"`},
		"too many layers": {"--shape llama-3.2-1b --layers 17", exitUsage, `--layers: got 17, want at most the 16`},
		"negative layers": {"--shape llama-3.2-1b --layers -1", exitUsage, `--layers: got -1`},
		"blocks":          {"--shape llama-3.2-1b --layers 1 --nblocks 3", exitFailed, `nblocks: 3 does not divide`},
		"shape's flags":   {"--adapter ADAPTER --nblocks 2", exitUsage, `want them with --shape only`},
		"one token":       {"--adapter ADAPTER --tokens 1", exitUsage, `--tokens: got 1`},
		"many tokens":     {"--adapter ADAPTER --tokens 1000000", exitUsage, `--tokens: got 1000000, want at most the model's`},
		"tolerance":       {"--adapter ADAPTER --tolerance 0", exitUsage, `--tolerance: got 0`},
		"threads":         {"--adapter ADAPTER --threads -1", exitUsage, `--threads: got -1`},
		"negative shards": {"--adapter ADAPTER --shards -1", exitUsage, `--shards: got -1`},
		"shards":          {"--adapter ADAPTER --shards 3", exitFailed, `3 does not divide the adapter's 4 blocks: .*convert --nblocks 3`},
		"one block":       {"--adapter PLAIN", exitFailed, `1 block, .*convert --nblocks`},
	} {
		t.Run(name, func(t *testing.T) {
			line := strings.NewReplacer("ADAPTER", adapter, "PLAIN", plain).Replace("verify " + test.args)
			r := bdloraWith("", strings.Fields(line)...)
			if r.code != test.code {
				t.Errorf("got exit code %d, want %d", r.code, test.code)
			}
			expectIn(t, r.stderr, test.want)
		})
	}
}
