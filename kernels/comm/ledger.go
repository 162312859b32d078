package comm

import "time"

// Purpose is what a collective is for.
type Purpose uint8

// The purposes, as they are told apart in a [Ledger].
const (
	Base     Purpose = iota // the frozen model's activations and their gradients, loss included
	Adapter                 // an adapter's own: BD-LoRA has none
	Replicas                // gradients of data-parallel replicas
	Control                 // norms, stop flags, and what else keeps processes in step
)

// String is "base", "adapter", "replicas" or "control".
func (p Purpose) String() string { return [...]string{"base", "adapter", "replicas", "control"}[p] }

// Collective is a kind of call.
type Collective uint8

// The collectives, as they are told apart in a [Ledger].
const (
	AllReduce Collective = iota
	AllGather
	ReduceScatter
	Broadcast
	Barrier
)

// String is "all-reduce", "all-gather", "reduce-scatter", "broadcast" or "barrier".
func (k Collective) String() string {
	return [...]string{"all-reduce", "all-gather", "reduce-scatter", "broadcast", "barrier"}[k]
}

// RingBytes is what each of procs processes in a ring sends to carry out calls of this
// kind with that payload, which is also the least that any algorithm can do with:
// (procs-1)/procs of it for an all-gather or a reduce-scatter, twice that for an
// all-reduce, which is both. In a broadcast all but the last process pass all of it on.
func (k Collective) RingBytes(payload int64, procs int) int64 {
	n := int64(procs)
	switch k {
	case AllReduce:
		return 2 * payload * (n - 1) / n
	case AllGather, ReduceScatter:
		return payload * (n - 1) / n
	case Broadcast:
		if procs > 1 {
			return payload
		}
	}
	return 0
}

// Entry sums up the calls of one kind.
type Entry struct {
	Calls int
	// Payload is the bytes of the whole result of the calls: of buf for an all-reduce
	// or a broadcast, of dst for an all-gather, of src for a reduce-scatter.
	Payload int64
	Elapsed time.Duration
}

// Ledger counts the collectives of a process, by what they are for and of which kind.
type Ledger struct {
	entries [Control + 1][Barrier + 1]Entry
}

// Add counts one call.
func (l *Ledger) Add(why Purpose, kind Collective, payload int64, elapsed time.Duration) {
	e := &l.entries[why][kind]
	e.Calls++
	e.Payload += payload
	e.Elapsed += elapsed
}

// Of is the sum of the calls of that kind and purpose.
func (l *Ledger) Of(why Purpose, kind Collective) Entry { return l.entries[why][kind] }

// Total is the sum of the calls for that purpose.
func (l *Ledger) Total(why Purpose) (sum Entry) {
	for _, e := range l.entries[why] {
		sum.Calls += e.Calls
		sum.Payload += e.Payload
		sum.Elapsed += e.Elapsed
	}
	return sum
}
