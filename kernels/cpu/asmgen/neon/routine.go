package main

import (
	"bytes"
	"fmt"
	"strings"
)

// gp is a general register, vec a vector register, imm a constant operand.
type (
	gp  int
	vec int
	imm int
)

func (g gp) String() string  { return fmt.Sprintf("R%d", int(g)) }
func (i imm) String() string { return fmt.Sprintf("$%d", int(i)) }

// at is the memory disp bytes after where g points.
func (g gp) at(disp int) string {
	if disp == 0 {
		return fmt.Sprintf("(%v)", g)
	}
	return fmt.Sprintf("%d(%v)", disp, g)
}

// by is the memory at g, which moves on by step bytes afterwards.
func (g gp) by(step gp) string { return fmt.Sprintf("(%v)(%v)", g, step) }

// f is v as a scalar, or whole in loads and stores.
func (v vec) f() string { return fmt.Sprintf("F%d", int(v)) }

// lanes is v as so many lanes: "S4", "D2", "H8", "B16".
func (v vec) lanes(arrangement string) string { return fmt.Sprintf("V%d.%s", int(v), arrangement) }

func (v vec) s4() string { return v.lanes("S4") }

// list is a list of consecutive registers as so many lanes each.
func list(vs []vec, arrangement string) string {
	names := make([]string, len(vs))
	for i, v := range vs {
		names[i] = v.lanes(arrangement)
	}
	return "[" + strings.Join(names, ", ") + "]"
}

func pair(a, b vec) string { return fmt.Sprintf("(%s, %s)", a.f(), b.f()) }

// routine is a function that is being written.
type routine struct {
	text   *bytes.Buffer
	params map[string]int64
	result int64

	generals, vectors int // registers in use, from the first on
}

// op writes an instruction with its operands in the order of Go's assembler.
func (r *routine) op(mnemonic string, operands ...any) {
	names := make([]string, len(operands))
	for i, operand := range operands {
		names[i] = fmt.Sprint(operand)
	}
	fmt.Fprintln(r.text, strings.TrimRight("\t"+mnemonic+" "+strings.Join(names, ", "), " "))
}

func (r *routine) label(name string) { fmt.Fprintf(r.text, "%s:\n", name) }

// gp is a register that is not in use. R16 and up belong to the linker, the platform
// and the runtime, but for R19 to R25.
func (r *routine) gp() gp {
	g := gp(r.generals)
	if g >= 16 {
		g += 3
	}
	if g > 25 {
		panic("neon: no general register is left")
	}
	r.generals++
	return g
}

// vec is a register that is not in use.
func (r *routine) vec() vec { return r.vecs(1)[0] }

// vecs are n consecutive ones.
func (r *routine) vecs(n int) []vec {
	vs := make([]vec, n)
	for i := range vs {
		vs[i] = vec(r.vectors + i)
	}
	if r.vectors += n; r.vectors > 32 {
		panic("neon: no vector register is left")
	}
	return vs
}

// scoped runs write and gives back the vector registers that it took.
func (r *routine) scoped(write func()) {
	before := r.vectors
	write()
	r.vectors = before
}

// arg is a parameter in memory: name, or name_base or name_len of a slice.
func (r *routine) arg(name string) string {
	param, field, _ := strings.Cut(name, "_")
	offset, ok := r.params[param]
	if !ok {
		panic(fmt.Sprintf("neon: no parameter %q", param))
	}
	if field == "len" {
		offset += 8
	}
	return fmt.Sprintf("%s+%d(FP)", name, offset)
}

// load is a word-sized parameter in a register.
func (r *routine) load(name string) gp {
	g := r.gp()
	r.op("MOVD", r.arg(name), g)
	return g
}

// loadBytes is a stride, given in numbers, in bytes.
func (r *routine) loadBytes(name string, f format) gp {
	g := r.load(name)
	r.op("LSL", imm(f.shift), g, g)
	return g
}

// broadcast is a float32 parameter in every lane.
func (r *routine) broadcast(name string) vec {
	v := r.vec()
	r.op("FMOVS", r.arg(name), v.f())
	r.op("VDUP", v.lanes("S[0]"), v.s4())
	return v
}

// broadcasts reads one float32 after the other, each in every lane.
func (r *routine) broadcasts(vs []vec, from gp) {
	for _, v := range vs {
		r.op("VLD1R.P", from.at(4), list([]vec{v}, "S4"))
	}
}

// returns stores lane 0 of v as the result, by FMOVS or FMOVD.
func (r *routine) returns(move string, v vec) { r.op(move, v.f(), fmt.Sprintf("ret+%d(FP)", r.result)) }

// zeros is a register of zeros.
func (r *routine) zeros() vec {
	v := r.vec()
	r.zero(v)
	return v
}

func (r *routine) zero(v vec) { r.op("VEOR", v.lanes("B16"), v.lanes("B16"), v.lanes("B16")) }

// move: d = n.
func (r *routine) move(d, n vec) { r.op("VMOV", n.lanes("B16"), d.lanes("B16")) }

// or: d = n | m.
func (r *routine) or(d, n, m vec) { r.op("VORR", m.lanes("B16"), n.lanes("B16"), d.lanes("B16")) }

// repeat writes a loop that runs body as often as rounds says, which counts down.
func (r *routine) repeat(name string, rounds gp, body func()) {
	r.op("CBZ", rounds, name+"Done")
	r.label(name)
	body()
	r.op("SUBS", imm(1), rounds, rounds)
	r.op("BNE", name)
	r.label(name + "Done")
}
