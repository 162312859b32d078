package bdlora

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/xrash/smetrics"
)

var errNoTarget = errors.New(`bdlora: target_modules: got none, want at least one, or "` + AllLinear + `"`)

// place is one linear of one layer.
type place struct {
	layer  int
	linear Linear
}

func (p place) path() string { return modulePath(p.layer, p.linear.Name) }

// leaf is the last element of a linear's name: "q_proj".
func leaf(linear string) string { return linear[strings.LastIndexByte(linear, '.')+1:] }

// places lists every linear of base by layer, half-layer and linear.
func places(base Base) []place {
	var halves []string
	for _, l := range base.Linears {
		if !slices.Contains(halves, l.Half()) {
			halves = append(halves, l.Half())
		}
	}
	linears := slices.Clone(base.Linears)
	slices.SortStableFunc(linears, func(a, b Linear) int {
		return slices.Index(halves, a.Half()) - slices.Index(halves, b.Half())
	})
	all := make([]place, 0, base.Layers*len(linears))
	for layer := range base.Layers {
		for _, l := range linears {
			all = append(all, place{layer, l})
		}
	}
	return all
}

// selectTargets lists the linears that a target matches. It is an error if one
// matches none, or if there is none.
func selectTargets(base Base, targets []string) ([]place, error) {
	if len(targets) == 0 {
		return nil, errNoTarget
	}
	var selected []place
	used := make(map[string]bool)
	all := places(base)
	for _, at := range all {
		hit := false
		for _, target := range targets {
			if matchesTarget(target, at.path()) {
				hit, used[target] = true, true
			}
		}
		if hit {
			selected = append(selected, at)
		}
	}
	var errs []error
	for _, target := range targets {
		if !used[target] {
			errs = append(errs, unknownTarget(base, target))
		}
	}
	return selected, errors.Join(errs...)
}

// matchesTarget is PEFT's rule: a target is a module's whole path or its end, from a
// dot on.
func matchesTarget(target, modulePath string) bool {
	return target == AllLinear || target == modulePath || strings.HasSuffix(modulePath, "."+target)
}

// unknownTarget names the linear that the user may have meant.
func unknownTarget(base Base, target string) error {
	var names []string
	for _, l := range base.Linears {
		names = append(names, leaf(l.Name))
	}
	nearest := slices.MinFunc(append(names, AllLinear), func(a, b string) int {
		return smetrics.WagnerFischer(a, leaf(target), 1, 1, 1) - smetrics.WagnerFischer(b, leaf(target), 1, 1, 1)
	})
	return fmt.Errorf("bdlora: target_modules: %q matches no linear of the %d layers, nearest is %q; want some of %s",
		target, base.Layers, nearest, strings.Join(names, ", "))
}

// targetNames is the shortest list of targets that matches the modules and nothing
// else of base: the linears' last names where all layers have the same ones, whole
// paths otherwise.
func targetNames(base Base, modules []place) []string {
	var names, paths []string
	for _, at := range modules {
		paths = append(paths, at.path())
		if name := leaf(at.linear.Name); !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	if selected, err := selectTargets(base, names); err == nil && len(selected) == len(modules) {
		return names
	}
	return paths
}
