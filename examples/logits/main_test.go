package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"path/filepath"
	"testing"

	"bdlora/data/safetensors"
)

// The example's logits are those that PEFT computed for the goldens of package model.
func TestLogitsArePEFTs(t *testing.T) {
	testdata := filepath.Join("..", "..", "model", "testdata")
	golden, err := safetensors.Open(filepath.Join(testdata, "gqa", "n2", "golden.safetensors"))
	if err != nil {
		t.Fatal(err)
	}
	defer golden.Close()
	tensor, ok := golden.Tensor("logits.0")
	if !ok {
		t.Fatal("no logits.0 in the golden")
	}
	want, err := tensor.F32()
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(t.TempDir(), "tokens.json")
	first := `{"sequences": [{"tokens": [1, 26, 24, 15, 40, 18, 26, 59, 52], "positions": [0, 8]}]}`
	if err := os.WriteFile(tokens, []byte(first), 0o666); err != nil {
		t.Fatal(err)
	}

	var out bytes.Buffer
	if err := run(&out, filepath.Join(testdata, "gqa"), filepath.Join(testdata, "gqa", "n2"), tokens); err != nil {
		t.Fatal(err)
	}
	var got file
	if err := json.Unmarshal(out.Bytes(), &got); err != nil {
		t.Fatal(err)
	}
	vocab := tensor.Shape[1]
	for i, position := range got.Sequences[0].Positions {
		for j, logit := range got.Sequences[0].Logits[i] {
			if w := want[position*vocab+j]; math.Abs(float64(logit-w)) > 1e-3 {
				t.Fatalf("position %d: logit %d is %g, want %g", position, j, logit, w)
			}
		}
	}
}
