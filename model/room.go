package model

// room is the memory of a pass through the model, asked for by what a buffer is for.
// The moments of a pass are: −1 for the embedding, i for half-layer i, then the head,
// and all but the first back again. The head counts as the half-layer after the last.
type room struct {
	arena     *arena
	halves    int
	backward  bool // the pass goes back as well
	recompute bool // half-layers make their tapes again on the way back
}

// back is the moment at which half-layer i goes back.
func (r *room) back(i int) int { return 2*r.halves + 1 - i }

// scratch is for what a half-layer uses and the next one may overwrite.
func (r *room) scratch() allocator {
	if !r.backward {
		return r.arena.during(span{0, r.halves - 1})
	}
	return r.arena.during(span{0, r.halves - 1}, span{r.back(r.halves - 1), r.back(0)})
}

// backScratch is for what half-layers use on the way back alone.
func (r *room) backScratch() allocator {
	return r.arena.during(span{r.back(r.halves - 1), r.back(0)})
}

// tape is for what half-layer i leaves for its backward pass.
func (r *room) tape(i int) allocator {
	switch {
	case !r.backward:
		return r.arena.during(span{i, i})
	case r.recompute:
		return r.arena.during(span{i, i}, span{r.back(i), r.back(i)})
	}
	return r.arena.during(span{i, r.back(i)})
}

// input is for what half-layer i reads, from when the one before it made it.
func (r *room) input(i int) allocator {
	if !r.backward {
		return r.arena.during(span{i - 1, i})
	}
	return r.arena.during(span{i - 1, r.back(i)})
}

// gradient is for the gradient in the input of half-layer i.
func (r *room) gradient(i int) allocator { return r.arena.during(span{r.back(i), r.back(i) + 1}) }

// head is for what the head uses, backward included.
func (r *room) head() allocator {
	if !r.backward {
		return r.arena.during(span{r.halves, r.halves})
	}
	return r.arena.during(span{r.halves, r.back(r.halves)})
}

// allTheWayBack is for gradients in parameters, which Gorgonia fetches when it likes.
func (r *room) allTheWayBack() allocator {
	return r.arena.during(span{r.halves, r.back(0)})
}
