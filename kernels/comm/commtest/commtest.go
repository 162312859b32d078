// Package commtest checks that a [comm.Comm] keeps the laws that all of them must keep.
// Import it from tests only.
package commtest

import (
	"fmt"
	"math"
	"slices"
	"sync"
	"testing"
	"unsafe"

	"bdlora/kernels/comm"
)

// Suite checks every method of a group of processes but Abort and Close: each kind of
// element, sizes of nothing and of several MiB, splits both ways of a grid, that all
// processes have the same bits, and what the ledgers count. The ends are those that
// this process holds: all of a local group, one under a launcher, where every process
// runs the suite.
func Suite(t *testing.T, ends ...comm.Comm) {
	for _, c := range checks {
		t.Run(c.name, func(t *testing.T) { Each(ends, func(end comm.Comm) { c.run(lab{t, end}) }) })
	}
}

// Each runs body for every end at once and returns when all are done.
func Each(ends []comm.Comm, body func(end comm.Comm)) {
	var all sync.WaitGroup
	for _, end := range ends {
		all.Go(func() { body(end) })
	}
	all.Wait()
}

// check is one part of the suite.
type check struct {
	name string
	run  func(lab)
}

var checks = slices.Concat(
	collectives[float32]("float32"), collectives[float64]("float64"),
	[]check{
		{"byte/AllGather", allGathers[byte]},
		{"byte/Broadcast", broadcasts[byte]},
		{"SumsAreTheSameBits", sameBits},
		{"Split", splits},
		{"Ledger", ledgers},
		{"WrongOperands", wrongOperands},
		{"GroupOfOne", groupOfOne},
	})

// collectives are the checks of one type of number.
func collectives[T number](name string) []check {
	return []check{
		{name + "/AllReduce", allReduces[T]},
		{name + "/AllGather", allGathers[T]},
		{name + "/ReduceScatter", reduceScatters[T]},
		{name + "/Broadcast", broadcasts[T]},
	}
}

// number is the type of an element.
type number interface{ byte | float32 | float64 }

// lengths are those of what one process brings: nothing, one element, less than a cache
// line, an odd number and, if there is time, more than the 4 MiB that go in one piece.
func lengths[T number]() []int {
	var element T
	all := []int{0, 1, 3, 1023, 4<<20/int(unsafe.Sizeof(element)) + 5}
	if testing.Short() {
		return all[:4]
	}
	return all
}

// lab is where a check runs: the group, seen from one process.
type lab struct {
	testing.TB
	comm.Comm
}

// fail reports an error from this process. A check may run outside the test's own
// goroutine, and goes on, since the others wait for it.
func (l lab) fail(format string, args ...any) {
	l.Helper()
	l.Errorf("process %d of %d: %s", l.Proc(), l.Procs(), fmt.Sprintf(format, args...))
}

// ok fails on an error.
func (l lab) ok(err error) {
	l.Helper()
	if err != nil {
		l.fail("%v", err)
	}
}

// value is element i of what process proc brings: small whole numbers, whose sums are
// exact, and distinct between neighbours and processes.
func value[T number](proc, i int) T { return T((7*i+31*proc+i/1000)%53 + proc) }

// operand is what process proc brings.
func operand[T number](proc, length int) []T {
	x := make([]T, length)
	for i := range x {
		x[i] = value[T](proc, i)
	}
	return x
}

// reduced is element i of the sum or maximum of what all processes bring.
func reduced[T number](op comm.Op, procs, i int) T {
	sum, most := T(0), T(0)
	for proc := range procs {
		v := value[T](proc, i)
		sum, most = sum+v, max(most, v)
	}
	if op == comm.Max {
		return most
	}
	return sum
}

// expect compares got with the elements that want tells.
func expect[T number](l lab, what string, got []T, want func(i int) T) {
	l.Helper()
	for i, g := range got {
		if w := want(i); g != w {
			l.fail("%s: element %d of %d: got %v, want %v", what, i, len(got), g, w)
			return
		}
	}
}

func allReduces[T number](l lab) {
	for _, op := range []comm.Op{comm.Sum, comm.Max} {
		for _, length := range lengths[T]() {
			buf := operand[T](l.Proc(), length)
			l.ok(l.AllReduce(comm.Base, op, buf))
			expect(l, op.String(), buf, func(i int) T { return reduced[T](op, l.Procs(), i) })
		}
	}
}

func reduceScatters[T number](l lab) {
	for _, length := range lengths[T]() {
		dst, src := make([]T, length), operand[T](l.Proc(), length*l.Procs())
		l.ok(l.ReduceScatter(comm.Base, dst, src))
		expect(l, "sum", dst, func(i int) T { return reduced[T](comm.Sum, l.Procs(), l.Proc()*length+i) })
		expect(l, "source", src, func(i int) T { return value[T](l.Proc(), i) })
	}
}

func allGathers[T number](l lab) {
	for _, length := range lengths[T]() {
		dst := make([]T, length*l.Procs())
		l.ok(l.AllGather(comm.Base, dst, operand[T](l.Proc(), length)))
		expect(l, "all", dst, func(i int) T { return value[T](i/length, i%length) })
	}
}

func broadcasts[T number](l lab) {
	for root := range l.Procs() {
		for _, length := range lengths[T]() {
			buf := operand[T](l.Proc(), length)
			l.ok(l.Broadcast(comm.Base, buf, root))
			expect(l, "buffer", buf, func(i int) T { return value[T](root, i) })
		}
	}
}

// sameBits checks sums whose value depends on their order.
func sameBits(l lab) {
	for _, length := range []int{1, 5, 1000, 100_003} {
		sum, again := make([]float32, length), make([]float32, length)
		for i := range sum {
			sum[i] = float32(math.Sin(float64(i*l.Procs()+l.Proc())) * math.Pow(10, float64((i+l.Proc())%7)))
		}
		copy(again, sum)
		l.ok(l.AllReduce(comm.Base, comm.Sum, sum))
		l.ok(l.AllReduce(comm.Base, comm.Sum, again))
		everyones := make([]float32, length*l.Procs())
		l.ok(l.AllGather(comm.Base, everyones, sum))
		bits := func(i int) float32 { return sum[i%length] }
		expect(l, "sums of all processes", everyones, bits)
		expect(l, "sum, once more", again, bits)
	}
}

// groupOfOne checks that one process alone exchanges nothing.
func groupOfOne(l lab) {
	before := *l.Ledger()
	one, err := l.Split(l.Proc(), 0)
	if l.ok(err); err != nil {
		return
	}
	buf, dst := []float32{1, 2, 3}, make([]float32, 3)
	l.ok(one.AllReduce(comm.Adapter, comm.Sum, buf))
	l.ok(one.Broadcast(comm.Adapter, buf, 0))
	l.ok(one.Barrier())
	l.ok(one.AllGather(comm.Adapter, dst, buf))
	expect(l, "gathered", dst, func(i int) float32 { return float32(i + 1) })
	clear(dst)
	l.ok(one.ReduceScatter(comm.Adapter, dst, buf))
	expect(l, "scattered", dst, func(i int) float32 { return float32(i + 1) })
	if one.Procs() != 1 || *l.Ledger() != before {
		l.fail("a group of %d has counted something", one.Procs())
	}
}
