package model

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path/filepath"

	"bdlora/bdlora"
)

// Config is what a Llama model's config.json says about its maths, under Hugging
// Face's keys. Defaults are those of LlamaConfig.
type Config struct {
	Hidden         int     `json:"hidden_size"`
	Intermediate   int     `json:"intermediate_size"`
	Layers         int     `json:"num_hidden_layers"`
	Heads          int     `json:"num_attention_heads"`
	KVHeads        int     `json:"num_key_value_heads"` // 0: as many as Heads
	HeadDim        int     `json:"head_dim"`            // 0: Hidden/Heads
	Vocab          int     `json:"vocab_size"`
	MaxSeqLen      int     `json:"max_position_embeddings"`
	NormEps        float64 `json:"rms_norm_eps"`
	TiedHead       bool    `json:"tie_word_embeddings"`
	RopeTheta      float64 `json:"rope_theta"`
	RopeScaling    *Rope   `json:"rope_scaling"`    // transformers 4
	RopeParameters *Rope   `json:"rope_parameters"` // transformers 5: holds rope_theta too
	BOS            tokens  `json:"bos_token_id"`
	EOS            tokens  `json:"eos_token_id"`
}

// tokens reads a token id, a list of them, or null.
type tokens []int32

func (t *tokens) UnmarshalJSON(b []byte) error {
	var one int32
	if json.Unmarshal(b, &one) == nil {
		*t = nil
		if string(b) != "null" {
			*t = tokens{one}
		}
		return nil
	}
	var many []int32
	if err := json.Unmarshal(b, &many); err != nil {
		return fmt.Errorf("got %s, want a token id or a list of them", b)
	}
	*t = many
	return nil
}

// ReadConfig reads and checks dir/config.json.
//
// Its error names every option that would change the maths and is not supported.
func ReadConfig(dir string) (*Config, error) {
	path := filepath.Join(dir, "config.json")
	raw, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	c := &Config{NormEps: 1e-6, RopeTheta: 10000, MaxSeqLen: 2048, Vocab: 32000}
	if err := json.Unmarshal(raw, c); err != nil {
		return nil, fmt.Errorf("model: %s: %w", path, err)
	}
	c.fill()
	if err := errors.Join(checkOptions(raw), c.validate()); err != nil {
		return nil, fmt.Errorf("model: %s:\n%w", path, err)
	}
	return c, nil
}

// StopTokens are the tokens that end an answer: those of dir/generation_config.json,
// as in Hugging Face's generate, or those of c if it names none.
func (c *Config) StopTokens(dir string) ([]int32, error) {
	path := filepath.Join(dir, "generation_config.json")
	raw, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return c.EOS, nil
	}
	if err != nil {
		return nil, fmt.Errorf("model: %w", err)
	}
	var generation struct {
		EOS tokens `json:"eos_token_id"`
	}
	if err := json.Unmarshal(raw, &generation); err != nil {
		return nil, fmt.Errorf("model: %s: eos_token_id: %w", path, err)
	}
	if len(generation.EOS) == 0 {
		return c.EOS, nil
	}
	return generation.EOS, nil
}

// fill derives what config.json leaves out.
func (c *Config) fill() {
	if c.KVHeads == 0 {
		c.KVHeads = c.Heads
	}
	if c.HeadDim == 0 && c.Heads > 0 {
		c.HeadDim = c.Hidden / c.Heads
	}
	if c.RopeScaling == nil {
		c.RopeScaling = c.RopeParameters
	}
	if c.RopeScaling == nil {
		c.RopeScaling = &Rope{}
	}
	if c.RopeScaling.Theta == 0 {
		c.RopeScaling.Theta = c.RopeTheta
	}
	if c.RopeScaling.OriginalMaxSeqLen == 0 {
		c.RopeScaling.OriginalMaxSeqLen = c.MaxSeqLen
	}
}

// option is a key of config.json that changes the maths, with the values under
// which it does not.
type option struct {
	key  string
	want []string // JSON texts; a missing key is fine too
}

var options = []option{
	{"model_type", []string{`"llama"`}},
	{"hidden_act", []string{`"silu"`}},
	{"attention_bias", []string{"false"}},
	{"mlp_bias", []string{"false"}},
	{"attention_dropout", []string{"0", "0.0"}},
	{"pretraining_tp", []string{"1"}},
	{"partial_rotary_factor", []string{"1", "1.0", "null"}},
	{"quantization_config", []string{"null"}},
	{"sliding_window", []string{"null"}},
}

// checkOptions reports everything in config.json that this package does not do.
func checkOptions(raw []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(raw, &fields); err != nil {
		return err
	}
	var errs []error
	var architectures []string
	if err := json.Unmarshal(fields["architectures"], &architectures); err != nil || len(architectures) != 1 ||
		architectures[0] != "LlamaForCausalLM" {
		errs = append(errs, fmt.Errorf("architectures is %s, want [\"LlamaForCausalLM\"]", orMissing(fields["architectures"])))
	}
	for _, o := range options {
		if got, ok := fields[o.key]; ok && !o.allows(string(got)) {
			errs = append(errs, fmt.Errorf("%s is %s, want %s", o.key, got, o.want[0]))
		}
	}
	return errors.Join(errs...)
}

func (o option) allows(got string) bool {
	for _, want := range o.want {
		if got == want {
			return true
		}
	}
	return false
}

func orMissing(raw json.RawMessage) string {
	if raw == nil {
		return "missing"
	}
	return string(raw)
}

// validate reports every size that makes no model.
func (c *Config) validate() error {
	var errs []error
	positive := func(key string, n int) {
		if n < 1 {
			errs = append(errs, fmt.Errorf("%s is %d, want at least 1", key, n))
		}
	}
	positive("hidden_size", c.Hidden)
	positive("intermediate_size", c.Intermediate)
	positive("num_hidden_layers", c.Layers)
	positive("num_attention_heads", c.Heads)
	positive("num_key_value_heads", c.KVHeads)
	positive("vocab_size", c.Vocab)
	positive("max_position_embeddings", c.MaxSeqLen)
	if c.KVHeads > 0 && c.Heads%c.KVHeads != 0 {
		errs = append(errs, fmt.Errorf("num_attention_heads is %d, want a multiple of num_key_value_heads, %d",
			c.Heads, c.KVHeads))
	}
	if c.HeadDim < 2 || c.HeadDim%2 != 0 {
		errs = append(errs, fmt.Errorf("head_dim is %d, want an even number of at least 2", c.HeadDim))
	}
	if c.NormEps <= 0 {
		errs = append(errs, fmt.Errorf("rms_norm_eps is %g, want more than 0", c.NormEps))
	}
	return errors.Join(append(errs, c.RopeScaling.validate())...)
}

// Linears is the table of a layer's linears: which shape each has and how tensor
// parallelism splits it. Adapters, weights and the graph all follow it.
func (c *Config) Linears() []bdlora.Linear {
	q, kv := c.Heads*c.HeadDim, c.KVHeads*c.HeadDim
	column, row := bdlora.ColumnParallel, bdlora.RowParallel
	return []bdlora.Linear{
		{Name: "self_attn.q_proj", Out: q, In: c.Hidden, Heads: c.Heads, Parallel: column},
		{Name: "self_attn.k_proj", Out: kv, In: c.Hidden, Heads: c.KVHeads, Parallel: column},
		{Name: "self_attn.v_proj", Out: kv, In: c.Hidden, Heads: c.KVHeads, Parallel: column},
		{Name: "self_attn.o_proj", Out: c.Hidden, In: q, Heads: c.Heads, Parallel: row},
		{Name: "mlp.gate_proj", Out: c.Intermediate, In: c.Hidden, Parallel: column},
		{Name: "mlp.up_proj", Out: c.Intermediate, In: c.Hidden, Parallel: column},
		{Name: "mlp.down_proj", Out: c.Hidden, In: c.Intermediate, Parallel: row},
	}
}

// linear is the one of that name.
func (c *Config) linear(name string) bdlora.Linear {
	for _, l := range c.Linears() {
		if l.Name == name {
			return l
		}
	}
	panic("model: no linear " + name)
}

// Base is what an adapter has to know of the model in the folder dir.
func (c *Config) Base(dir string) bdlora.Base {
	return bdlora.Base{
		NameOrPath: filepath.ToSlash(dir), Layers: c.Layers, Heads: c.Heads, KVHeads: c.KVHeads,
		Linears: c.Linears(), Params: c.Params(),
	}
}

// checkTokens refuses tokens that the model has no embedding for.
func (c *Config) checkTokens(tokens []int32) error {
	for i, token := range tokens {
		if token < 0 || int(token) >= c.Vocab {
			return fmt.Errorf("model: token %d is %d, want 0 to %d", i, token, c.Vocab-1)
		}
	}
	return nil
}

// attnScale is the factor of the attention scores, 1/√HeadDim.
func (c *Config) attnScale() float64 { return 1 / math.Sqrt(float64(c.HeadDim)) }

// Params is the number of the model's parameters, a tied head counted once.
func (c *Config) Params() int64 {
	layer := 2 * c.Hidden
	for _, l := range c.Linears() {
		layer += l.In * l.Out
	}
	embeddings := 2 * c.Vocab * c.Hidden
	if c.TiedHead {
		embeddings /= 2
	}
	return int64(c.Layers)*int64(layer) + int64(embeddings) + int64(c.Hidden)
}
