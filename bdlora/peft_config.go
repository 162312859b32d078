package bdlora

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"strings"
)

// peftConfig is an adapter_config.json. Written are only the keys that a plain or
// block-diagonal LoRA needs, since a reader warns of any that it does not know.
type peftConfig struct {
	PEFTType      string             `json:"peft_type"`
	TaskType      string             `json:"task_type"`
	NameOrPath    string             `json:"base_model_name_or_path"`
	InferenceMode bool               `json:"inference_mode"`
	Rank          int                `json:"r"`
	Alpha         float64            `json:"lora_alpha"`
	Dropout       float64            `json:"lora_dropout"`
	RSLoRA        bool               `json:"use_rslora"`
	Bias          string             `json:"bias"`
	Targets       moduleSet          `json:"target_modules"`
	RankPattern   map[string]int     `json:"rank_pattern,omitempty"`
	AlphaPattern  map[string]float64 `json:"alpha_pattern,omitempty"`
	Blocks        *peftBlocks        `json:"use_bdlora,omitempty"`

	// Only read.
	Exclude       moduleSet       `json:"exclude_modules,omitzero"`
	Layers        layerSet        `json:"layers_to_transform,omitempty"`
	LayersPattern json.RawMessage `json:"layers_pattern,omitempty"`
	Init          json.RawMessage `json:"init_lora_weights,omitempty"`
}

// peftBlocks is PEFT's BdLoraConfig. A module whose path contains a string of BDA
// has a block-diagonal A, one of BDB a block-diagonal B.
type peftBlocks struct {
	BDA         []string `json:"target_modules_bd_a"`
	BDB         []string `json:"target_modules_bd_b"`
	Blocks      int      `json:"nblocks"`
	MatchStrict bool     `json:"match_strict"`
}

// newPEFTConfig describes a plan to PEFT: with its blocks, or as plain LoRA if dense
// or if there is one block.
func newPEFTConfig(p *Plan, dense bool) peftConfig {
	cfg := p.Config
	c := peftConfig{
		PEFTType: "LORA", TaskType: "CAUSAL_LM", NameOrPath: p.Base.NameOrPath, InferenceMode: true,
		Rank: cfg.Rank, Alpha: cfg.Alpha, Dropout: cfg.Dropout, RSLoRA: cfg.RSLoRA, Bias: "none",
		Targets:     moduleSet{names: targetNames(p.Base, p.places())},
		RankPattern: cfg.RankPattern, AlphaPattern: cfg.AlphaPattern,
	}
	if dense || cfg.Blocks == 1 {
		return c
	}
	c.Blocks = &peftBlocks{BDA: []string{}, BDB: []string{}, Blocks: cfg.Blocks, MatchStrict: true}
	for _, l := range linearsOf(p.places()) {
		if l.Parallel == RowParallel {
			c.Blocks.BDA = append(c.Blocks.BDA, leaf(l.Name))
		} else {
			c.Blocks.BDB = append(c.Blocks.BDB, leaf(l.Name))
		}
	}
	return c
}

// encode is the text of the file.
func (c peftConfig) encode() ([]byte, error) {
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	err := encoder.Encode(c)
	return text.Bytes(), err
}

// readPEFTConfig reads the file path. What would make another function of the
// adapter than s·B·A is refused by its key.
func readPEFTConfig(path string) (peftConfig, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return peftConfig{}, err
	}
	c, err := parsePEFTConfig(text)
	if err != nil {
		return peftConfig{}, fmt.Errorf("%s: %w", path, err)
	}
	return c, nil
}

// parsePEFTConfig is readPEFTConfig of text in memory.
func parsePEFTConfig(text []byte) (peftConfig, error) {
	c := peftConfig{Rank: 8, Alpha: 8} // PEFT's defaults
	var keys map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &keys), json.Unmarshal(text, &c)); err != nil {
		return c, err
	}
	var errs []error
	for _, key := range sortedKeys(keys) {
		if !harmless(key) && !isOff(keys[key]) {
			errs = append(errs, fmt.Errorf("%s: got %s, which is not supported; want it off", key, keys[key]))
		}
	}
	return c, errors.Join(append(errs, c.check())...)
}

// check reports the values, of the keys that are read, which are not supported.
func (c peftConfig) check() error {
	var errs []error
	bad := func(key string, got any, want string) {
		errs = append(errs, fmt.Errorf("%s: got %v, want %s", key, got, want))
	}
	if c.PEFTType != "LORA" {
		bad("peft_type", fmt.Sprintf("%q", c.PEFTType), `"LORA"`)
	}
	if c.Bias != "" && c.Bias != "none" {
		bad("bias", fmt.Sprintf("%q", c.Bias), `"none"`)
	}
	if !(c.Alpha > 0) {
		bad("lora_alpha", c.Alpha, "a number above 0")
	}
	if init := strings.Trim(string(c.Init), `"`); changesBase(init) {
		bad("init_lora_weights", init, "one that leaves the base model's weights alone; convert the adapter in PEFT")
	}
	if pattern := string(c.LayersPattern); !isOff(c.LayersPattern) && pattern != `"layers"` && pattern != `["layers"]` {
		bad("layers_pattern", pattern, `"layers"`)
	}
	if c.Blocks != nil && c.Blocks.Blocks < 1 {
		bad("use_bdlora: nblocks", c.Blocks.Blocks, "at least 1")
	}
	return errors.Join(errs...)
}

// harmless reports whether a key of adapter_config.json may have any value: it is
// read here, or it only matters before or while PEFT trains, or it matters only
// together with a key that is refused.
func harmless(key string) bool {
	switch key {
	case "peft_type", "task_type", "base_model_name_or_path", "inference_mode", "r", "lora_alpha", "lora_dropout",
		"use_rslora", "bias", "target_modules", "rank_pattern", "alpha_pattern", "use_bdlora", "exclude_modules",
		"layers_to_transform", "layers_pattern", "init_lora_weights":
		return true
	case "auto_mapping", "peft_version", "revision", "runtime_config", "megatron_core", "qalora_group_size",
		"loftq_config", "eva_config", "corda_config", "lora_ga_config", "velora_config":
		return true
	}
	return false
}

// isOff reports whether a value of a configuration says nothing.
func isOff(value json.RawMessage) bool {
	switch string(value) {
	case "", "null", "false", `""`, "[]", "{}":
		return true
	}
	return false
}

// changesBase reports whether a value of init_lora_weights takes part of the base
// model's weights away, which PEFT does again whenever it loads the adapter.
func changesBase(init string) bool {
	switch init {
	case "", "null", "true", "false", "gaussian", "eva", "orthogonal":
		return false
	}
	return true
}
