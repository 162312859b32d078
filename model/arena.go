package model

import (
	"cmp"
	"fmt"
	"slices"

	"bdlora/kernels"
)

// span are the moments from one to another, both included. Moments are the
// half-layers of a pass in the order in which they run.
type span struct{ from, to int }

// lifetime is when a buffer's numbers are wanted: in one span, or in several
// between which it may lose them.
type lifetime []span

func (l lifetime) meets(other lifetime) bool {
	for _, a := range l {
		for _, b := range other {
			if a.from <= b.to && b.from <= a.to {
				return true
			}
		}
	}
	return false
}

// arena is the memory of a pass in one piece, in which buffers that are never wanted
// at the same moment share a place. What a pass needs is asked for twice, in the same
// order: first to plan, when every buffer is but a length, then to have it.
type arena struct {
	places []place
	next   int         // place of the next request
	memory kernels.Buf // nil while planning
}

// place is where a buffer lies in the arena.
type place struct {
	from, length int
	life         lifetime
}

func (p place) to() int { return p.from + p.length }

// during is a source of buffers that live so long.
func (a *arena) during(spans ...span) allocator { return allocator{a, spans} }

// allocator hands out buffers of one lifetime. What is in them at first is unknown.
type allocator struct {
	arena *arena
	life  lifetime
}

// Alloc returns n numbers of any value.
func (l allocator) Alloc(n int) kernels.Buf {
	a := l.arena
	if a.memory == nil {
		a.places = append(a.places, place{length: n, life: l.life})
		return kernels.Length(n)
	}
	p := a.places[a.next]
	if p.length != n {
		panic(fmt.Sprintf("model: arena: buffer %d has %d elements, want the %d that were planned", a.next, n, p.length))
	}
	a.next++
	return a.memory.Slice(p.from, p.to())
}

// alignment is what offsets are multiples of, in elements: a line of the cache.
const alignment = 16

// plan gives every buffer its place and returns how long the arena has to be. The
// largest go first, each as low as it fits beside those that live when it does:
// "greedy by size" of arXiv 2001.03288.
func (a *arena) plan() int {
	order := make([]*place, len(a.places))
	for i := range a.places {
		order[i] = &a.places[i]
	}
	slices.SortStableFunc(order, func(x, y *place) int { return cmp.Compare(y.length, x.length) })
	var placed []*place // by their offsets
	length := 0
	for _, p := range order {
		p.from = p.lowest(placed)
		length = max(length, p.to())
		at, _ := slices.BinarySearchFunc(placed, p.from, func(q *place, from int) int { return cmp.Compare(q.from, from) })
		placed = slices.Insert(placed, at, p)
	}
	return length
}

// lowest is the first gap for p between those of placed that it must not meet.
func (p *place) lowest(placed []*place) int {
	from := 0
	for _, q := range placed {
		if !p.life.meets(q.life) {
			continue
		}
		if from+p.length <= q.from {
			break
		}
		from = max(from, (q.to()+alignment-1)/alignment*alignment)
	}
	return from
}
