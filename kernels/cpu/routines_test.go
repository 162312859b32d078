package cpu

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"bdlora/kernels"
)

// guard is around what a routine may touch. As a NaN it also shows what a routine
// reads beyond it, and no routine makes one with these bits.
var guard = math.Float32frombits(0x7fdecade)

const margin = 19

// guarded are n numbers between guards. The slice has no room behind it.
func guarded(n int) (whole, middle []float32) {
	whole = slices.Repeat([]float32{guard}, margin+n+margin)
	return whole, whole[margin : margin+n : margin+n]
}

// checkGuards wants what lies around the middle, and what is not touched there, as it
// was, and all else written.
func checkGuards(t *testing.T, whole []float32, touched func(i int) bool) {
	t.Helper()
	for i, v := range whole {
		inside := i >= margin && i < len(whole)-margin && touched(i-margin)
		if inside == (math.Float32bits(v) == math.Float32bits(guard)) {
			t.Fatalf("number %d of %d is %g: got it written %t, want %t",
				i-margin, len(whole)-2*margin, v, !inside, inside)
		}
	}
}

func anywhere(int) bool { return true }

func checkClose(t *testing.T, got, want []float32) {
	t.Helper()
	const tolerance = 1e-5 // of sums of 40 in any order
	for i, w := range want {
		if got[i] != w && !(math.Abs(float64(got[i]-w)) <= tolerance*math.Max(1, math.Abs(float64(w)))) {
			t.Fatalf("number %d of %d: got %g, want %g", i, len(want), got[i], w)
		}
	}
}

func fill(x []float32, rng *rand.Rand) {
	for i := range x {
		x[i] = float32(rng.NormFloat64())
	}
}

// loops are the routines that walk slices, each on four of them.
var loops = map[string]func(r *routines, a, b, c, d []float32) float32{
	"dot":           func(r *routines, a, b, c, d []float32) float32 { return r.dot(a, b) },
	"dot3":          func(r *routines, a, b, c, d []float32) float32 { return r.dot3(a, b, c) },
	"addScaled":     func(r *routines, a, b, c, d []float32) float32 { r.addScaled(a, b, -1.5); return 0 },
	"scale":         func(r *routines, a, b, c, d []float32) float32 { r.scale(a, 0.7); return 0 },
	"scaledProduct": func(r *routines, a, b, c, d []float32) float32 { r.scaledProduct(a, b, c, -0.3); return 0 },
	"normBackward":  func(r *routines, a, b, c, d []float32) float32 { r.normBackward(a, b, c, d, 1.2, -0.6); return 0 },
	"rotate":        func(r *routines, a, b, c, d []float32) float32 { r.rotate(a, b, c, d); return 0 },
	"expSum":        func(r *routines, a, b, c, d []float32) float32 { return r.expSum(a, b, 2, 1.5) },
	"expSum of y":   func(r *routines, a, b, c, d []float32) float32 { return r.expSum(a, a, 1, -0.5) },
	"swiGLU":        func(r *routines, a, b, c, d []float32) float32 { r.swiGLU(a, b, c); return 0 },
	"swiGLU of y":   func(r *routines, a, b, c, d []float32) float32 { r.swiGLU(a, a, b); return 0 },
	"swiGLUBackward": func(r *routines, a, b, c, d []float32) float32 {
		r.swiGLUBackward(c, d, b, c, d)
		return 0
	},
	"sumSquares": func(r *routines, a, b, c, d []float32) float32 { return float32(r.sumSquares(a)) },
	"adamW": func(r *routines, a, b, c, d []float32) float32 {
		for i := range d {
			d[i] *= d[i]
		}
		r.adamW(a, b, c, d, &[9]float32{0.9, 0.8, 0.2, 0.7, 0.3, 1.5, 0.1, 0.25, 0.05})
		return 0
	},
	"drop": func(r *routines, a, b, c, d []float32) float32 { r.drop(a, b, 12345, 1<<62); return 0 },
	"largest of negatives": func(r *routines, a, b, c, d []float32) float32 {
		for i, v := range a {
			a[i] = -1 - v*v
		}
		return r.largest(a)
	},
}

func TestLoopsAreThePlainOnes(t *testing.T) {
	for _, r := range supported() {
		for name, loop := range loops {
			t.Run(fmt.Sprintf("path=%s/%s", r.path, name), func(t *testing.T) {
				for n := range 41 {
					checkLoop(t, r, n, loop)
				}
			})
		}
	}
}

func checkLoop(t *testing.T, r *routines, n int, loop func(r *routines, a, b, c, d []float32) float32) {
	rng := rand.New(rand.NewPCG(1, uint64(n)))
	var whole, got, want [4][]float32
	for i := range got {
		whole[i], got[i] = guarded(n)
		fill(got[i], rng)
		want[i] = slices.Clone(got[i])
	}
	result := loop(r, got[0], got[1], got[2], got[3])
	plain := loop(generic(), want[0], want[1], want[2], want[3])
	checkClose(t, []float32{result}, []float32{plain})
	for i := range got {
		checkClose(t, got[i], want[i])
		checkGuards(t, whole[i], anywhere)
	}
}

// betweenProducts are the loops of attention, on matrices a and b, and c, d and e with
// an element a column.
var betweenProducts = map[string]func(r *routines, a, b operand, c, d, e []float32){
	"softmax": func(r *routines, a, b operand, c, d, e []float32) {
		bl := block{r: r, w: &worker{}, lanes: len(c)}
		bl.softmax(a, c, d, e)
	},
	"softmaxBackward": func(r *routines, a, b operand, c, d, e []float32) {
		for i, x := range c {
			c[i] = x + 9 // as lse, above any score
		}
		r.softmaxGradient(a, b, c, d)
	},
	"scaleColumns": func(r *routines, a, b operand, c, d, e []float32) { r.scaleEach(a, c) },
}

func TestLoopsOfAttentionAreThePlainOnes(t *testing.T) {
	for _, r := range supported() {
		for name, loop := range betweenProducts {
			t.Run(fmt.Sprintf("path=%s/%s", r.path, name), func(t *testing.T) {
				for tiles := range 3 {
					checkBetweenProducts(t, r, (tiles+1)*r.strips.rows, (tiles+1)*r.strips.lanes, loop)
				}
			})
		}
	}
}

// checkBetweenProducts has some −∞ among the scores, as attention has for keys that a
// query does not see, of which nothing may be left.
func checkBetweenProducts(t *testing.T, r *routines, count, cols int,
	loop func(r *routines, a, b operand, c, d, e []float32)) {
	rng, row := rand.New(rand.NewPCG(9, uint64(cols))), cols+3
	var whole, got, want [5][]float32
	for i := range got {
		n := cols
		if i < 2 {
			n = (count-1)*row + cols
		}
		whole[i], got[i] = guarded(n)
		want[i] = make([]float32, n)
		for at := range n {
			if i > 1 || at%row < cols {
				want[i][at] = float32(rng.NormFloat64())
				if i == 0 && at%5 == 0 && at >= row {
					want[i][at] = float32(math.Inf(-1))
				}
				got[i][at] = want[i][at]
			}
		}
	}
	matrix := func(x []float32) operand { return operand{f32: x, rows: count, cols: cols, row: row, col: 1} }
	loop(r, matrix(got[0]), matrix(got[1]), got[2], got[3], got[4])
	loop(generic(), matrix(want[0]), matrix(want[1]), want[2], want[3], want[4])
	for i := range got {
		inside := func(at int) bool { return i > 1 || at%row < cols }
		checkGuards(t, whole[i], inside)
		for at := range got[i] {
			if inside(at) {
				checkClose(t, got[i][at:at+1], want[i][at:at+1])
			}
			if inside(at) && want[i][at] == 0 && got[i][at] != 0 {
				t.Fatalf("number %d: got %g, want nothing left of it", at, got[i][at])
			}
		}
	}
}

func TestPackersDecode(t *testing.T) {
	for _, r := range supported() {
		t.Run(fmt.Sprintf("path=%s/format=f32", r.path), func(t *testing.T) {
			checkPackers(t, &r.f32, func(x float32) float32 { return x })
		})
		t.Run(fmt.Sprintf("path=%s/format=bf16", r.path), func(t *testing.T) {
			checkPackers(t, &r.bf16, kernels.Float32ToBF16)
		})
		t.Run(fmt.Sprintf("path=%s/format=f16", r.path), func(t *testing.T) {
			checkPackers(t, &r.f16, kernels.Float32ToF16)
		})
	}
}

func checkPackers[T float32 | uint16](t *testing.T, p *packing[T], encode func(float32) T) {
	src, rng := make([]T, 1<<12), rand.New(rand.NewPCG(2, 3))
	for i := range src {
		src[i] = encode(float32(rng.NormFloat64()))
	}
	for n := range 41 {
		if p.interleave8 != nil {
			checkInterleave(t, p, p.interleave8, 8, src, n)
		}
		if p.interleave6 != nil {
			checkInterleave(t, p, p.interleave6, 6, src, n)
		}
		if p.copyRows != nil {
			checkCopyRows(t, p, src, n)
		}
		if p.dots4 != nil {
			checkDots4(t, p, src, n)
		}
		whole, dst := guarded(n)
		p.widenAll(dst, src[:n])
		checkGuards(t, whole, anywhere)
		for i, v := range dst {
			checkClose(t, []float32{v}, []float32{p.decode(src[i])})
		}
	}
}

func checkInterleave[T float32 | uint16](t *testing.T, p *packing[T],
	interleave func([]float32, int, []T, int, int), lanes int, src []T, steps int) {
	dstStep, lane, done := lanes+3, steps+2, steps-steps%vectorLanes
	whole, dst := guarded(max(0, (steps-1)*dstStep+lanes))
	interleave(dst, dstStep, src, lane, steps)
	checkGuards(t, whole, func(i int) bool { return i/dstStep < done && i%dstStep < lanes })
	for s := range done {
		for i := range lanes {
			checkClose(t, dst[s*dstStep+i:][:1], []float32{p.decode(src[i*lane+s])})
		}
	}
}

func checkCopyRows[T float32 | uint16](t *testing.T, p *packing[T], src []T, steps int) {
	for _, lanes := range []int{8, 16, 24} {
		srcStep := lanes + 5
		whole, dst := guarded(lanes * steps)
		p.copyRows(dst, lanes, src, srcStep, steps)
		checkGuards(t, whole, anywhere)
		for i, v := range dst {
			checkClose(t, []float32{v}, []float32{p.decode(src[i/lanes*srcStep+i%lanes])})
		}
	}
}

func checkDots4[T float32 | uint16](t *testing.T, p *packing[T], src []T, n int) {
	lane := n + 3
	whole, dst := guarded(4)
	x, want := make([]float32, n), make([]float32, 4)
	fill(x, rand.New(rand.NewPCG(4, uint64(n))))
	for i := range want {
		for s := range n - n%vectorLanes {
			want[i] += x[s] * p.decode(src[i*lane+s])
		}
	}
	p.dots4(dst, x, src, lane)
	checkGuards(t, whole, anywhere)
	checkClose(t, dst, want)
}

func TestCodingsDecode(t *testing.T) {
	for _, r := range supported() {
		t.Run(fmt.Sprintf("path=%s/format=int8", r.path), func(t *testing.T) {
			checkCoding(t, &r.int8, func(src []int8, i int) float32 { return float32(src[i]) })
		})
		t.Run(fmt.Sprintf("path=%s/format=nf4", r.path), func(t *testing.T) {
			checkCoding(t, &r.nf4, func(src []byte, i int) float32 { return kernels.NF4Map[src[i/2]>>(4-i%2*4)&15] })
		})
	}
}

// checkCoding compares the loops of c with decode, which is number i of src.
func checkCoding[T int8 | byte](t *testing.T, c *coding[T], decode func(src []T, i int) float32) {
	src, rng := make([]T, 1<<12), rand.New(rand.NewPCG(6, 7))
	for i := range src {
		src[i] = T(rng.Uint32())
	}
	var scales [8]float32
	fill(scales[:], rng)
	for n := 8; n <= 40 && c.dot != nil; n += 8 {
		const lanes = 8
		src, stride, step := src[5:], n+4, n+3
		whole, dst := guarded((n-1)*(lanes+3) + lanes)
		c.interleave8(dst, lanes+3, src, stride>>c.packed, n, scales)
		checkGuards(t, whole, func(i int) bool { return i%(lanes+3) < lanes })
		for i := range n * lanes {
			s, lane := i/lanes, i%lanes
			checkClose(t, dst[s*(lanes+3)+lane:][:1], []float32{scales[lane] * decode(src, lane*stride+s)})
		}
		whole, dst = guarded(7*step + n)
		c.copyRows8(dst, step, src, stride>>c.packed, n, scales)
		checkGuards(t, whole, func(i int) bool { return i%step < n })
		for i := range 8 * n {
			s, lane := i/n, i%n
			checkClose(t, dst[s*step+lane:][:1], []float32{scales[s] * decode(src, s*stride+lane)})
		}
	}
	for blocks := 1; blocks <= 5 && c.dot != nil; blocks++ {
		checkCodedDot(t, c, decode, src, scales[:blocks])
	}
}

func checkCodedDot[T int8 | byte](t *testing.T, c *coding[T], decode func(src []T, i int) float32, src []T,
	scales []float32) {
	block := c.block
	if block == 0 {
		block = 8 * len(scales)
		scales = scales[:1]
	}
	x, want := make([]float32, block*len(scales)), 0.0
	fill(x, rand.New(rand.NewPCG(8, uint64(len(x)))))
	largest := 0.0
	for i, v := range x {
		term := float64(v) * float64(scales[i/block]) * float64(decode(src, i))
		want, largest = want+term, largest+math.Abs(term)
	}
	if got := float64(c.dot(x, src, scales)); !(math.Abs(got-want) <= 1e-6*largest) {
		t.Fatalf("dot of %d: got %g, want %g", len(x), got, want)
	}
}

func TestTilesAreSumsOfProducts(t *testing.T) {
	for _, r := range supported() {
		for _, tiles := range []strips{r.large, r.strips} {
			for i, run := range tiles.tiles {
				height, width := tiles.rows, (i+1)*tiles.lanes
				t.Run(fmt.Sprintf("path=%s/rows=%d/cols=%d", r.path, height, width), func(t *testing.T) {
					for steps := range 11 {
						for _, stride := range [][2]int{{1, height}, {1, height + 3}, {steps + 2, 1}} {
							checkTile(t, run, height, width, steps, stride[0], stride[1], false)
							checkTile(t, run, height, width, steps, stride[0], stride[1], true)
						}
					}
				})
			}
		}
	}
}

func checkTile(t *testing.T, run tile, height, width, steps, aLane, aStep int, add bool) {
	rng, bStep, cRow := rand.New(rand.NewPCG(5, uint64(steps))), width+1, width+5
	a, b := make([]float32, height*aLane+steps*aStep), make([]float32, width+steps*bStep)
	fill(a, rng)
	fill(b, rng)
	whole, c := guarded((height-1)*cRow + width)
	want := make([]float32, len(c))
	for i := range height {
		row := want[i*cRow:][:width]
		if add {
			fill(row, rng)
		}
		copy(c[i*cRow:], row)
		for j := range row {
			for s := range steps {
				row[j] += a[i*aLane+s*aStep] * b[s*bStep+j]
			}
		}
	}
	run(steps, a, aLane, aStep, b, bStep, c, cRow, add)
	checkGuards(t, whole, func(i int) bool { return i%cRow < width })
	for i := range height {
		checkClose(t, c[i*cRow:][:width], want[i*cRow:][:width])
	}
}
