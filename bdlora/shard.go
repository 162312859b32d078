package bdlora

import (
	"fmt"
	"slices"
	"strconv"

	"bdlora/data/safetensors"
)

// shardFormat marks a file of one shard's numbers in its metadata.
const shardFormat = "bdlora-shard"

// ShardName is the file of one shard, counted from 0 as the ranks of a server are:
// "shard-0-of-4.safetensors".
func ShardName(shard, shards int) string {
	return fmt.Sprintf("shard-%d-of-%d.safetensors", shard, shards)
}

// WriteShard writes one shard's numbers, or others that are laid out like them
// (moments), into the file path: A_i and B_i of every module as
// "model.layers.0.self_attn.q_proj.A" and ".B", in float32, in the shapes that
// [Module] lists. The file is whole or absent.
func WriteShard(path string, plan *Plan, shard int, values []float32) error {
	if len(values) != plan.ShardLen {
		return fmt.Errorf("bdlora: shard %d: got %d values, want %d", shard, len(values), plan.ShardLen)
	}
	var entries []safetensors.Entry
	for _, m := range plan.Modules {
		entries = append(entries,
			safetensors.FromF32(m.Path()+".A", []int{m.A.Rows, m.A.Cols}, m.A.Of(values)),
			safetensors.FromF32(m.Path()+".B", []int{m.B.Rows, m.B.Cols}, m.B.Of(values)))
	}
	return safetensors.Write(path, entries, shardMetadata(plan, shard))
}

// ReadShard is the inverse of [WriteShard]: it fills values, bit for bit. A file of
// another shard, of other modules or of other shapes is an error, and values are
// then undefined.
func ReadShard(path string, plan *Plan, shard int, values []float32) error {
	if len(values) != plan.ShardLen {
		return fmt.Errorf("bdlora: shard %d: got room for %d values, want %d", shard, len(values), plan.ShardLen)
	}
	file, err := safetensors.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	if err := readShard(file, plan, shard, values); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func readShard(file *safetensors.File, plan *Plan, shard int, values []float32) error {
	got, want := file.Metadata(), shardMetadata(plan, shard)
	for _, key := range sortedKeys(want) {
		if got[key] != want[key] {
			return fmt.Errorf("metadata %q: got %q, want %q", key, got[key], want[key])
		}
	}
	if got, want := len(file.Tensors()), 2*len(plan.Modules); got != want {
		return fmt.Errorf("got %d tensors, want %d", got, want)
	}
	for _, m := range plan.Modules {
		if err := readBlock(file, m.Path()+".A", m.A, values); err != nil {
			return err
		}
		if err := readBlock(file, m.Path()+".B", m.B, values); err != nil {
			return err
		}
	}
	return nil
}

// readBlock copies one factor of a shard.
func readBlock(file *safetensors.File, name string, f Factor, values []float32) error {
	t, ok := file.Tensor(name)
	if !ok {
		return fmt.Errorf("tensor %q is missing", name)
	}
	if !slices.Equal(t.Shape, []int{f.Rows, f.Cols}) {
		return fmt.Errorf("tensor %q: shape is %v, want [%d %d]", name, t.Shape, f.Rows, f.Cols)
	}
	numbers, err := t.F32()
	copy(f.Of(values), numbers)
	return err
}

// shardMetadata is what a shard's file says of itself.
func shardMetadata(plan *Plan, shard int) map[string]string {
	return map[string]string{
		"format": shardFormat, "shard": strconv.Itoa(shard), "shards": strconv.Itoa(plan.Shards()),
	}
}
