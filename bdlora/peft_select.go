package bdlora

import (
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// moduleSet is target_modules or exclude_modules: null, a regular expression for
// whole paths, or a list of paths' ends.
type moduleSet struct {
	pattern string
	names   []string
}

// MarshalJSON writes the list.
func (s moduleSet) MarshalJSON() ([]byte, error) { return json.Marshal(s.names) }

// UnmarshalJSON reads any of the three forms.
func (s *moduleSet) UnmarshalJSON(text []byte) error {
	*s = moduleSet{}
	if len(text) == 0 || text[0] != '"' {
		return json.Unmarshal(text, &s.names)
	}
	if err := json.Unmarshal(text, &s.pattern); err != nil {
		return err
	}
	if s.pattern == AllLinear {
		*s = moduleSet{names: []string{AllLinear}}
	}
	return nil
}

// matcher reports for a module's path whether it is in the set.
func (s moduleSet) matcher() (func(path string) (bool, error), error) {
	if s.pattern == "" {
		return func(path string) (bool, error) {
			return slices.ContainsFunc(s.names, func(name string) bool { return matchesTarget(name, path) }), nil
		}, nil
	}
	e, err := compileExpression(s.pattern, false)
	return e.match, err
}

// layerSet is layers_to_transform: null, one layer or a list; empty means all.
type layerSet []int

// UnmarshalJSON reads any of the three forms.
func (s *layerSet) UnmarshalJSON(text []byte) error {
	var one int
	if err := json.Unmarshal(text, &one); err == nil && string(text) != "null" {
		*s = layerSet{one}
		return nil
	}
	return json.Unmarshal(text, (*[]int)(s))
}

// selects lists the linears of base that PEFT would adapt.
func (c peftConfig) selects(base Base) ([]place, error) {
	if c.Targets.pattern != "" && len(c.Layers) > 0 {
		return nil, errors.New("layers_to_transform: got layers together with a regular expression for " +
			"target_modules, want one of them")
	}
	targeted, targetErr := c.Targets.matcher()
	excluded, excludeErr := c.Exclude.matcher()
	if err := errors.Join(wrapKey("target_modules", targetErr), wrapKey("exclude_modules", excludeErr)); err != nil {
		return nil, err
	}
	var selected []place
	for _, at := range places(base) {
		in, inErr := targeted(at.path())
		out, outErr := excluded(at.path())
		if err := errors.Join(wrapKey("target_modules", inErr), wrapKey("exclude_modules", outErr)); err != nil {
			return nil, err
		}
		if in && !out && (len(c.Layers) == 0 || slices.Contains(c.Layers, at.layer)) {
			selected = append(selected, at)
		}
	}
	if len(selected) == 0 {
		return nil, fmt.Errorf("target_modules: matches none of the model's %d linears", len(places(base)))
	}
	return selected, nil
}

// wrapKey puts the key before an error, if there is one.
func wrapKey(key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s: %w", key, err)
}

// checkParallel reports linears whose block-diagonal factor is not the one that
// tensor parallelism asks for.
func (b *peftBlocks) checkParallel(modules []place) error {
	var errs []error
	for _, l := range linearsOf(modules) {
		path := modules[slices.IndexFunc(modules, func(at place) bool { return at.linear == l })].path()
		diagonal := strings.Join(b.diagonal(path), " and ")
		want := "B"
		if l.Parallel == RowParallel {
			want = "A"
		}
		if diagonal == "" {
			diagonal = "neither"
		}
		if diagonal != want {
			errs = append(errs, fmt.Errorf("use_bdlora: %s has block-diagonal %s, want %s: it is %s-parallel",
				l.Name, diagonal, want, l.Parallel))
		}
	}
	return errors.Join(errs...)
}

// diagonal names the factors that PEFT makes block-diagonal for the module at path.
func (b *peftBlocks) diagonal(path string) []string {
	within := func(part string) bool { return strings.Contains(path, part) }
	var factors []string
	if slices.ContainsFunc(b.BDA, within) {
		factors = append(factors, "A")
	}
	if slices.ContainsFunc(b.BDB, within) {
		factors = append(factors, "B")
	}
	return factors
}

// plan lays out the adapter that the configuration describes for base.
func (c peftConfig) plan(base Base) (*Plan, error) {
	selected, err := c.selects(base)
	if err != nil {
		return nil, err
	}
	cfg := Config{
		Rank: c.Rank, Alpha: c.Alpha, Dropout: c.Dropout, RSLoRA: c.RSLoRA, Blocks: 1, Init: InitLoRA,
		Targets: targetNames(base, selected), RankPattern: c.RankPattern, AlphaPattern: c.AlphaPattern,
	}
	if c.Blocks != nil && c.Blocks.Blocks > 1 {
		cfg.Blocks = c.Blocks.Blocks
		if err := c.Blocks.checkParallel(selected); err != nil {
			return nil, err
		}
	}
	return NewPlan(base, cfg)
}
