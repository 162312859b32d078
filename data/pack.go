package data

import (
	"cmp"
	"fmt"
	"math/bits"
	"slices"
)

// Pack distributes sequences of the given lengths over bins that hold capacity
// tokens each, by best-fit decreasing: the longest first, each into the fullest bin
// that has room. It returns the indices of the sequences in each bin, every index
// once. Equal lengths go by index, so the result depends on the arguments alone. It
// costs O(n·(log n + capacity/64)).
//
// It returns an error if capacity or a length is below 1, or a length above
// capacity.
//
// Source: best-fit decreasing needs at most 11/9 of the fewest possible bins, and
// four (Johnson 1973).
func Pack(lengths []int, capacity int) ([][]int, error) {
	if capacity < 1 {
		return nil, fmt.Errorf("data: pack: capacity is %d, want at least 1", capacity)
	}
	order := make([]int, len(lengths))
	for i, length := range lengths {
		if length < 1 || length > capacity {
			return nil, fmt.Errorf("data: pack: sequence %d has %d tokens, want 1 to %d", i, length, capacity)
		}
		order[i] = i
	}
	slices.SortStableFunc(order, func(i, j int) int { return cmp.Compare(lengths[j], lengths[i]) })

	var bins [][]int
	room := newRooms(capacity)
	for _, i := range order {
		bin, free, ok := room.take(lengths[i])
		if !ok {
			bin, free = len(bins), capacity
			bins = append(bins, nil)
		}
		bins[bin] = append(bins[bin], i)
		room.put(bin, free-lengths[i])
	}
	return bins, nil
}

// rooms finds the bin with the least free room that is enough.
type rooms struct {
	bins [][]int  // by free room
	some []uint64 // bit f is set if bins[f] is not empty
}

func newRooms(capacity int) *rooms {
	return &rooms{bins: make([][]int, capacity+1), some: make([]uint64, capacity/64+1)}
}

func (r *rooms) put(bin, free int) {
	r.bins[free] = append(r.bins[free], bin)
	r.some[free/64] |= 1 << (free % 64)
}

// take removes a bin that has room for length and returns how much it has; not ok
// if there is none.
func (r *rooms) take(length int) (bin, free int, ok bool) {
	word := r.some[length/64] &^ (1<<(length%64) - 1)
	for i := length / 64; ; word = r.some[i] {
		if word != 0 {
			free = 64*i + bits.TrailingZeros64(word)
			break
		}
		if i++; i == len(r.some) {
			return 0, 0, false
		}
	}
	last := len(r.bins[free]) - 1
	bin, r.bins[free] = r.bins[free][last], r.bins[free][:last]
	if last == 0 {
		r.some[free/64] &^= 1 << (free % 64)
	}
	return bin, free, true
}
