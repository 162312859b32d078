package bdlora

import (
	"fmt"
	"path/filepath"
	"strings"

	"bdlora/data/durable"
)

// readmeName is where a folder says what it is.
const readmeName = "README.md"

// vllmReadme takes the number of blocks, the rank and the command.
const vllmReadme = `# A BD-LoRA adapter for one kind of server

For vLLM with --block_diagonal_sharded_loras (https://github.com/vllm-project/vllm/pull/28136),
on exactly %[1]d tensor-parallel ranks, with exactly this --max-lora-rank:

    %[3]s

Every other adapter of that server must have %[1]d blocks and rank %[2]d too. Ranks that the
adapter did not have are zeros inside its blocks. PEFT from 0.19 on loads the folder as well.

A server that does not know block-diagonal adapters, or has another number of ranks or
another --max-lora-rank, loads these files without complaint and answers wrongly. For any
other server, write the adapter by: bdlora export --format dense
`

// vllmRanks are the values that vLLM takes for --max-lora-rank.
func vllmRanks() []int { return []int{1, 8, 16, 32, 64, 128, 256, 320, 512} }

// VLLMRank is the rank that vLLM has to be started with to serve an adapter of plan p
// in its blocks, and that every linear of the adapter has to have: the least that
// --max-lora-rank takes, that the blocks divide and that no linear's rank exceeds.
//
// Rank i of N takes rows and columns of the factors from i·R/N on, where R is
// --max-lora-rank and not the rank of the adapter, so that it would misread any other.
//
// Source: https://github.com/vllm-project/vllm/pull/28136.
func VLLMRank(p *Plan) (int, error) {
	n, most := p.Shards(), 0
	if n < 2 {
		return 0, fmt.Errorf("bdlora: nblocks: got %d, want at least 2: any vLLM serves plain LoRA", n)
	}
	for _, m := range p.Modules {
		most = max(most, m.Rank)
	}
	var fitting []int
	for _, rank := range vllmRanks() {
		if rank%n != 0 {
			continue
		}
		if rank >= most {
			return rank, nil
		}
		fitting = append(fitting, rank)
	}
	want := oneOf(fitting)
	if want == "" {
		want = "another number of blocks, or --format dense"
	}
	return 0, fmt.Errorf("bdlora: lora_r: got up to %d in %d blocks, but none of vLLM's ranks, %s, is a multiple of %d "+
		"and as large; want %s", most, n, oneOf(vllmRanks()), n, want)
}

// SaveVLLM writes the adapter into the folder dir for vLLM with
// --block_diagonal_sharded_loras, and returns the rank to start it with. The files are
// PEFT's, but every linear has [VLLMRank], padded with zeros inside its blocks, and the
// same s, since that vLLM reads no patterns: where a linear had another, its B is
// multiplied by what it was in terms of the common one. A README.md says so.
func (a *Adapter) SaveVLLM(dir string) (rank int, err error) {
	if rank, err = VLLMRank(a.Plan); err != nil {
		return 0, err
	}
	padded, _, err := Convert(a, a.Plan.Shards(), rank)
	if err != nil {
		return 0, err
	}
	if padded, err = padded.withoutPatterns(); err != nil {
		return 0, err
	}
	if err := padded.SavePEFT(dir); err != nil {
		return 0, err
	}
	text := fmt.Sprintf(vllmReadme, a.Plan.Shards(), rank, VLLMCommand(a.Plan, rank, dir))
	return rank, durable.WriteBytes(filepath.Join(dir, readmeName), []byte(text))
}

// withoutPatterns is the adapter, all of whose linears have the configuration's rank,
// with its alpha on every one of them too, and what that changes of s multiplied into
// B. It takes over the adapter's numbers.
func (a *Adapter) withoutPatterns() (*Adapter, error) {
	cfg := a.Plan.Config
	cfg.AlphaPattern = nil
	plan, err := NewPlan(a.Plan.Base, cfg)
	if err != nil {
		return nil, err
	}
	for k, m := range plan.Modules {
		factor := float32(a.Plan.Modules[k].Scaling / m.Scaling)
		for _, shard := range a.Shards {
			b := m.B.Of(shard)
			for i := range b {
				b[i] *= factor
			}
		}
	}
	return &Adapter{Plan: plan, Shards: a.Shards}, nil
}

// VLLMCommand is how vLLM serves what [Adapter.SaveVLLM] wrote into dir, under the
// name of that folder.
func VLLMCommand(p *Plan, rank int, dir string) string {
	model := p.Base.NameOrPath
	if model == "" {
		model = "MODEL"
	}
	return fmt.Sprintf("vllm serve %s --enable-lora --tensor-parallel-size %d --max-lora-rank %d "+
		"--block_diagonal_sharded_loras --lora-modules %s", shellWord(model), p.Shards(), rank,
		shellWord(filepath.Base(dir)+"="+dir))
}

// shellWord is s as one word of a POSIX shell.
func shellWord(s string) string {
	special := func(r rune) bool {
		letter := 'A' <= r && r <= 'Z' || 'a' <= r && r <= 'z' || '0' <= r && r <= '9'
		return !letter && !strings.ContainsRune("%+-./:=@_", r)
	}
	if s != "" && strings.IndexFunc(s, special) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
