package comm

import (
	"fmt"
	"time"
)

// Engine moves the bytes of a [Comm]: what an implementation of Comm is written as.
// Calls have been checked when they come to it, and are counted behind it ([Over]).
type Engine interface {
	// Proc is this process's place in the group, from 0 to Procs-1.
	Proc() int
	// Procs is the number of processes in the group.
	Procs() int
	// Do carries out a call in a group of more than one.
	Do(call Call) error
	// Split is that of [Comm].
	Split(color, key int) (Engine, error)
	// Abort is that of [Comm].
	Abort(cause error)
	// Close is that of [Comm].
	Close() error
}

// Over is the Comm whose bytes engine moves.
func Over(engine Engine) Comm { return &counted{engine, new(Ledger)} }

// counted checks the calls of a Comm before its engine sees them, and counts those that
// have passed.
type counted struct {
	engine Engine
	ledger *Ledger
}

func (c *counted) Proc() int         { return c.engine.Proc() }
func (c *counted) Procs() int        { return c.engine.Procs() }
func (c *counted) Ledger() *Ledger   { return c.ledger }
func (c *counted) Abort(cause error) { c.engine.Abort(cause) }
func (c *counted) Close() error      { return c.engine.Close() }

func (c *counted) AllReduce(why Purpose, op Op, buf any) error {
	return c.do(why, Call{Kind: AllReduce, Op: op, Dst: buf, Src: buf})
}

func (c *counted) AllGather(why Purpose, dst, src any) error {
	return c.do(why, Call{Kind: AllGather, Dst: dst, Src: src})
}

func (c *counted) ReduceScatter(why Purpose, dst, src any) error {
	return c.do(why, Call{Kind: ReduceScatter, Dst: dst, Src: src})
}

func (c *counted) Broadcast(why Purpose, buf any, root int) error {
	return c.do(why, Call{Kind: Broadcast, Root: root, Dst: buf, Src: buf})
}

func (c *counted) Barrier() error { return c.do(Control, Call{Kind: Barrier}) }

func (c *counted) Split(color, key int) (Comm, error) {
	part, err := c.engine.Split(color, key)
	if err != nil {
		return nil, err
	}
	return &counted{part, c.ledger}, nil
}

func (c *counted) do(why Purpose, call Call) error {
	if err := call.check(why, c.Procs()); err != nil {
		return err
	}
	if c.Procs() == 1 {
		call.alone()
		return nil
	}
	began := time.Now()
	if err := c.engine.Do(call); err != nil {
		return err
	}
	c.ledger.Add(why, call.Kind, call.Payload(), time.Since(began))
	return nil
}

// Call is a collective with its operands.
type Call struct {
	Kind     Collective
	Op       Op  // of a reduction
	Root     int // of a broadcast
	Type     Type
	Len      int // elements of the whole result: see [Entry]
	Dst, Src any // slices of Type's elements; one and the same where a call replaces its operand
}

// check finds Type and Len, or says what is wrong with the operands.
func (c *Call) check(why Purpose, procs int) error {
	if why > Control {
		return fmt.Errorf("comm: %s: purpose is %d, want one of this package", c.Kind, why)
	}
	if c.Kind == Barrier {
		return nil
	}
	dst, dstLen, ok := TypeOf(c.Dst)
	src, srcLen, okSrc := TypeOf(c.Src)
	reduces := c.Kind == AllReduce || c.Kind == ReduceScatter
	wantDst, wantSrc := dstLen, dstLen
	switch c.Kind {
	case AllGather:
		wantDst = srcLen * procs
		wantSrc = srcLen
	case ReduceScatter:
		wantSrc = dstLen * procs
	}
	switch {
	case !ok || !okSrc || dst != src:
		return fmt.Errorf("comm: %s: buffers are %T and %T, want both []float32, []float64 or []byte",
			c.Kind, c.Dst, c.Src)
	case reduces && dst == Bytes:
		return fmt.Errorf("comm: %s: buffer is []byte, want []float32 or []float64", c.Kind)
	case reduces && c.Op > Max:
		return fmt.Errorf("comm: %s: op is %d, want Sum or Max", c.Kind, c.Op)
	case dstLen != wantDst || srcLen != wantSrc:
		return fmt.Errorf("comm: %s among %d: lengths are %d and %d, want %d and %d",
			c.Kind, procs, dstLen, srcLen, wantDst, wantSrc)
	case c.Root < 0 || c.Root >= procs:
		return fmt.Errorf("comm: %s: root is %d, want 0 to %d", c.Kind, c.Root, procs-1)
	}
	c.Type, c.Len = dst, max(dstLen, srcLen)
	return nil
}

// alone is the call in a group of one.
func (c *Call) alone() {
	switch dst := c.Dst.(type) {
	case []float32:
		copy(dst, c.Src.([]float32))
	case []float64:
		copy(dst, c.Src.([]float64))
	case []byte:
		copy(dst, c.Src.([]byte))
	}
}

// Payload is the bytes of the whole result: see [Entry].
func (c Call) Payload() int64 { return int64(c.Len) * int64(c.Type.Size()) }

// Fits reports whether two processes that make these calls make the same.
func (c Call) Fits(other Call) bool {
	c.Dst, c.Src, other.Dst, other.Src = nil, nil, nil, nil
	return c == other
}

// String is "all-reduce (sum) of 1024 float32".
func (c Call) String() string {
	switch c.Kind {
	case Barrier:
		return c.Kind.String()
	case AllReduce, ReduceScatter:
		return fmt.Sprintf("%s (%s) of %d %s", c.Kind, c.Op, c.Len, c.Type)
	case Broadcast:
		return fmt.Sprintf("%s of %d %s from process %d", c.Kind, c.Len, c.Type, c.Root)
	}
	return fmt.Sprintf("%s of %d %s", c.Kind, c.Len, c.Type)
}

// Type is that of the elements of a buffer.
type Type uint8

// The types.
const (
	Bytes Type = iota
	Float32
	Float64
)

// TypeOf is the type and number of a buffer's elements; not ok if it is no buffer.
func TypeOf(buf any) (t Type, elements int, ok bool) {
	switch b := buf.(type) {
	case []float32:
		return Float32, len(b), true
	case []float64:
		return Float64, len(b), true
	case []byte:
		return Bytes, len(b), true
	}
	return 0, 0, false
}

// Size is the bytes of an element.
func (t Type) Size() int { return [...]int{1, 4, 8}[t] }

// String is "byte", "float32" or "float64".
func (t Type) String() string { return [...]string{"byte", "float32", "float64"}[t] }
