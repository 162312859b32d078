package tokenizer

import "strings"

const (
	maxCachedBytes = 64      // longer words are too rare to remember
	maxCachedWords = 1 << 15 // then the cache starts afresh
)

// merger is the working memory for one word at a time.
type merger struct {
	model   *bpe
	cache   map[string][]Piece // words met before
	symbols []symbol
	heap    []candidate
	out     []Piece
}

// symbol is a token of the word so far, linked to its neighbours.
type symbol struct {
	id         int32 // noToken once merged into the one before
	prev, next int32 // indices, noToken at the ends
	start, end int32 // bytes of the word
}

// candidate is a merge that was possible when it was found: of the symbol at index
// at and its next one, to id.
type candidate struct{ rank, at, id int32 }

func (c candidate) less(d candidate) bool {
	return c.rank < d.rank || c.rank == d.rank && c.at < d.at
}

func newMerger(m *bpe) *merger { return &merger{model: m, cache: map[string][]Piece{}} }

// pieces is the tokens of word. The slice is valid until the next call.
func (g *merger) pieces(word string) []Piece {
	if known, ok := g.cache[word]; ok {
		return known
	}
	g.split(word)
	g.mergeAll()
	g.out = g.out[:0]
	for i := range g.symbols {
		if s := g.symbols[i]; s.id != noToken {
			g.out = append(g.out, Piece{s.id, int(s.start), int(s.end)})
		}
	}
	if len(word) <= maxCachedBytes {
		if len(g.cache) == maxCachedWords {
			clear(g.cache)
		}
		g.cache[strings.Clone(word)] = append([]Piece(nil), g.out...)
	}
	return g.out
}

// split sets symbols to the bytes of word. A byte without a token becomes the
// unknown one, or is left out if there is none.
func (g *merger) split(word string) {
	g.symbols = g.symbols[:0]
	wasUnknown := false
	for i := range len(word) {
		id, unknown := g.model.bytes[word[i]], false
		if id == noToken {
			id, unknown = g.model.unknown, true
		}
		at := int32(len(g.symbols))
		switch {
		case id == noToken:
		case unknown && wasUnknown && g.model.fuse:
			g.symbols[at-1].end = int32(i + 1)
		default:
			g.symbols = append(g.symbols, symbol{id, at - 1, at + 1, int32(i), int32(i + 1)})
		}
		wasUnknown = unknown
	}
	if n := len(g.symbols); n > 0 {
		g.symbols[n-1].next = noToken
	}
}

// mergeAll merges until no candidate is left. Candidates whose symbols have changed
// since are stale, and known by the pair not merging to their id any more.
func (g *merger) mergeAll() {
	g.heap = g.heap[:0]
	for i := range g.symbols {
		g.consider(int32(i))
	}
	for len(g.heap) > 0 {
		c := g.pop()
		left := &g.symbols[c.at]
		if left.id == noToken || left.next == noToken {
			continue
		}
		right := &g.symbols[left.next]
		if m, ok := g.model.merges[[2]int32{left.id, right.id}]; !ok || m.id != c.id {
			continue
		}
		left.id, left.end, left.next = c.id, right.end, right.next
		right.id = noToken
		if left.next != noToken {
			g.symbols[left.next].prev = c.at
		}
		g.consider(left.prev)
		g.consider(c.at)
	}
}

// consider adds the merge of the symbol at index at and its next one, if there is.
func (g *merger) consider(at int32) {
	if at == noToken || g.symbols[at].next == noToken {
		return
	}
	left := &g.symbols[at]
	if m, ok := g.model.merges[[2]int32{left.id, g.symbols[left.next].id}]; ok {
		g.push(candidate{m.rank, at, m.id})
	}
}

// push and pop keep heap a binary heap, least candidate first. Package
// container/heap would do the same, at a third of the speed.

func (g *merger) push(c candidate) {
	g.heap = append(g.heap, c)
	at := len(g.heap) - 1
	for parent := (at - 1) / 2; at > 0 && c.less(g.heap[parent]); parent = (at - 1) / 2 {
		g.heap[at] = g.heap[parent]
		at = parent
	}
	g.heap[at] = c
}

func (g *merger) pop() candidate {
	least, last := g.heap[0], g.heap[len(g.heap)-1]
	g.heap = g.heap[:len(g.heap)-1]
	at := 0
	for child := 1; child < len(g.heap); child = 2*at + 1 {
		if child+1 < len(g.heap) && g.heap[child+1].less(g.heap[child]) {
			child++
		}
		if !g.heap[child].less(last) {
			break
		}
		g.heap[at] = g.heap[child]
		at = child
	}
	if len(g.heap) > 0 {
		g.heap[at] = last
	}
	return least
}
