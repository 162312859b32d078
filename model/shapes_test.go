package model_test

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"bdlora/model"
)

// The counts are those that the Hugging Face hub shows for the safetensors files.
func TestShapesHaveThePublishedParameters(t *testing.T) {
	published := map[string]int64{
		"smollm2-135m":  134_515_008,
		"smollm2-360m":  361_821_120,
		"smollm2-1.7b":  1_711_376_384,
		"llama-3.2-1b":  1_235_814_400,
		"llama-3.2-3b":  3_212_749_824,
		"llama-3.1-8b":  8_030_261_248,
		"llama-3.1-70b": 70_553_706_496,
	}
	for _, name := range model.Shapes() {
		c, err := model.Shape(name)
		if err != nil {
			t.Fatal(err)
		}
		if got := c.Params(); got != published[name] {
			t.Errorf("%s: got %d parameters, want %d", name, got, published[name])
		}
	}
	if got := len(model.Shapes()); got != len(published) {
		t.Errorf("got %d shapes, want %d", got, len(published))
	}
}

// The config.json of Llama-3.2-1B, as published.
const llama1B = `{
	"architectures": ["LlamaForCausalLM"], "attention_bias": false, "attention_dropout": 0.0, "bos_token_id": 128000,
	"eos_token_id": 128001, "head_dim": 64, "hidden_act": "silu", "hidden_size": 2048, "initializer_range": 0.02,
	"intermediate_size": 8192, "max_position_embeddings": 131072, "mlp_bias": false, "model_type": "llama",
	"num_attention_heads": 32, "num_hidden_layers": 16, "num_key_value_heads": 8, "pretraining_tp": 1,
	"rms_norm_eps": 1e-05, "rope_scaling": {"factor": 32.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
	"original_max_position_embeddings": 8192, "rope_type": "llama3"}, "rope_theta": 500000.0,
	"tie_word_embeddings": true, "torch_dtype": "bfloat16", "use_cache": true, "vocab_size": 128256}`

func TestShapeIsThePublishedConfig(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "config.json"), []byte(llama1B), 0o666); err != nil {
		t.Fatal(err)
	}
	want, err := model.ReadConfig(dir)
	if err != nil {
		t.Fatal(err)
	}
	got, err := model.Shape("llama-3.2-1b")
	if err != nil {
		t.Fatal(err)
	}
	gotRope, wantRope := *got.RopeScaling, *want.RopeScaling
	if gotRope != wantRope {
		t.Errorf("rope: got %+v, want %+v", gotRope, wantRope)
	}
	g, w := *got, *want
	g.RopeScaling, g.BOS, g.EOS = nil, nil, nil // a shape has no tokens
	w.RopeScaling, w.BOS, w.EOS = nil, nil, nil
	if !reflect.DeepEqual(g, w) {
		t.Errorf("got %+v, want %+v", g, w)
	}
}

func TestUnknownShapeIsRefused(t *testing.T) {
	_, err := model.Shape("llama-4")
	if err == nil || !strings.Contains(err.Error(), `"llama-4"`) || !strings.Contains(err.Error(), "llama-3.1-70b") {
		t.Errorf("got error %v, want one that names llama-4 and the shapes there are", err)
	}
}
