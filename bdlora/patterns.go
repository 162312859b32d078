package bdlora

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/dlclark/regexp2/v2"
)

// matchTimeout bounds a regular expression that backtracks without end.
const matchTimeout = time.Second

// expression is a regular expression of Python's syntax, matched against all of a
// module's path.
type expression struct {
	source string // as its author wrote it
	re     *regexp2.Regexp
}

// compileExpression compiles source; where prefix is set, it may begin after any
// dot of the path.
func compileExpression(source string, prefix bool) (expression, error) {
	frame := `^(?:%s)$`
	if prefix {
		frame = `^(?:.*\.)?(?:%s)$`
	}
	re, err := regexp2.Compile(fmt.Sprintf(frame, source), regexp2.RE2)
	if err != nil {
		return expression{}, fmt.Errorf("%q: %w", source, err)
	}
	re.MatchTimeout = matchTimeout
	return expression{source, re}, nil
}

// match reports whether the whole path matches. It is an error to take longer than
// matchTimeout.
func (e expression) match(path string) (bool, error) {
	ok, err := e.re.MatchString(path)
	if err != nil {
		return false, fmt.Errorf("%q on %s: %w", e.source, path, err)
	}
	return ok, nil
}

// patterns are the exceptions of rank_pattern or alpha_pattern, in alphabetical
// order.
type patterns[V any] struct {
	name string // the configuration's key, for messages
	keys []expression
	of   map[string]V
}

// compilePatterns compiles the keys of exceptions.
func compilePatterns[V any](name string, exceptions map[string]V) (patterns[V], error) {
	p := patterns[V]{name: name, of: exceptions}
	var errs []error
	for _, key := range sortedKeys(exceptions) {
		e, err := compileExpression(key, true)
		if err != nil {
			errs = append(errs, fmt.Errorf("bdlora: %s: %w", name, err))
		}
		p.keys = append(p.keys, e)
	}
	return p, errors.Join(errs...)
}

// pick is the value of the first pattern that matches the path, otherwise if none
// does.
func (p patterns[V]) pick(path string, otherwise V) (V, error) {
	for _, key := range p.keys {
		ok, err := key.match(path)
		if err != nil {
			return otherwise, fmt.Errorf("bdlora: %s: %w", p.name, err)
		}
		if ok {
			return p.of[key.source], nil
		}
	}
	return otherwise, nil
}

// checkUsed reports the patterns that match none of the modules.
func (p patterns[V]) checkUsed(modules []place) error {
	var errs []error
	for _, key := range p.keys {
		used := slices.ContainsFunc(modules, func(at place) bool {
			ok, err := key.match(at.path())
			return ok || err != nil
		})
		if !used {
			errs = append(errs, fmt.Errorf("bdlora: %s: %q matches none of the %d adapted linears",
				p.name, key.source, len(modules)))
		}
	}
	return errors.Join(errs...)
}

// sortedKeys is the keys of m in order.
func sortedKeys[K cmp.Ordered, V any](m map[K]V) []K { return slices.Sorted(maps.Keys(m)) }
