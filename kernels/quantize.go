package kernels

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
)

// Quantize returns w, which is in a format of files and has no gaps, in FormatInt8 or
// FormatNF4, computed on threads threads; how many changes no bit.
//
// It is an error if w has a number that is NaN or infinite. Rows and blocks below
// 1e-36 in all their numbers may become zeros.
func (w *Weight) Quantize(format Format, threads int) (*Weight, error) {
	if w.Gap != 0 {
		panic(fmt.Sprintf("kernels: weight %s: quantise some of its columns, want all", w.Name))
	}
	q := &Weight{Name: w.Name, Format: format, Rows: w.Rows, Cols: w.Cols}
	var err error
	switch format {
	case FormatInt8:
		q.Int8, err = quantizeInt8(w, threads)
	case FormatNF4:
		q.NF4, err = quantizeNF4(w, threads)
	default:
		panic(fmt.Sprintf("kernels: weight %s: quantise to %v, want INT8 or NF4", w.Name, format))
	}
	if err != nil {
		return nil, fmt.Errorf("kernels: weight %s: %w", w.Name, err)
	}
	return q, nil
}

// errNotFinite: quantised formats have no code for it.
var errNotFinite = errors.New("a number is NaN or infinite, which no quantised format can hold")

// least is where absolute values are too small to divide by.
const least = 1e-36

func quantizeInt8(w *Weight, threads int) (*Int8, error) {
	q := &Int8{Codes: make([]int8, w.Rows*w.Cols), Absmax: make([]float32, w.Rows)}
	err := parallel(threads, w.Rows, func(row int) error {
		numbers := make([]float32, w.Cols)
		w.Decode(numbers, row*w.Cols)
		largest := absmax(numbers)
		if !(largest <= math.MaxFloat32) {
			return fmt.Errorf("row %d: %w", row, errNotFinite)
		}
		if largest < least {
			return nil
		}
		q.Absmax[row] = largest
		factor := 1 / largest * 127
		codes := q.Codes[row*w.Cols:][:w.Cols]
		for i, x := range numbers {
			codes[i] = roundToEven(float32(x * factor))
		}
		return nil
	})
	return q, err
}

// roundToEven is x, which is below 2²¹, as an integer: float32 has no room for more
// beside 1.5·2²³.
func roundToEven(x float32) int8 {
	const large = 3 << 22
	return int8(math.Float32bits(x + large))
}

// nf4Unit is the number of blocks that a thread quantises at a time.
const nf4Unit = 256

func quantizeNF4(w *Weight, threads int) (*NF4, error) {
	n := w.Rows * w.Cols
	blocks := ceilDiv(n, NF4Block)
	q := &NF4{Codes: make([]byte, ceilDiv(n, 2))}
	scales := make([]float32, blocks)
	err := parallel(threads, ceilDiv(blocks, nf4Unit), func(unit int) error {
		var room [NF4Block]float32
		for block := unit * nf4Unit; block < min(blocks, (unit+1)*nf4Unit); block++ {
			from := block * NF4Block
			numbers := room[:min(NF4Block, n-from)]
			w.Decode(numbers, from)
			scales[block] = absmax(numbers)
			if !(scales[block] <= math.MaxFloat32) {
				return fmt.Errorf("row %d: %w", from/w.Cols, errNotFinite)
			}
			nf4Codes(q.Codes[from/2:], numbers, scales[block])
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	q.quantizeScales(scales)
	return q, nil
}

// nf4Codes writes the codes of one block, whose numbers it spoils. Bitsandbytes multiplies a whole block by
// the inverse of its absmax, and divides one that the weight's end has cut short.
func nf4Codes(dst []byte, numbers []float32, largest float32) {
	largest = max(largest, least)
	inverse := 1 / largest
	for i, x := range numbers {
		numbers[i] = x * inverse
		if len(numbers) < NF4Block {
			numbers[i] = x / largest
		}
	}
	for ; len(numbers) > 1; numbers, dst = numbers[2:], dst[1:] {
		dst[0] = nf4Code(numbers[0])<<4 | nf4Code(numbers[1])
	}
	if len(numbers) > 0 {
		dst[0] = nf4Code(numbers[0])<<4 | nf4Code(0)
	}
}

// nf4Bounds are the middles between neighbours of NF4Map: a number is rounded up if
// it lies above one. None lies above the last.
var nf4Bounds = func() (bounds [16]float32) {
	for i := range 15 {
		bounds[i] = (NF4Map[i] + NF4Map[i+1]) / 2
	}
	bounds[15] = math.MaxFloat32
	return bounds
}()

// nf4Below is the number of bounds below each 16th from -1 on. No two bounds lie in
// one.
var nf4Below = func() (below [33]byte) {
	for i := range below {
		for _, bound := range nf4Bounds {
			if bound < float32(i)/16-1 {
				below[i]++
			}
		}
	}
	return below
}()

// nf4Code is the code of the number of NF4Map that is nearest to x, of two the
// smaller. x lies between -1 and 1, but for a rounding.
func nf4Code(x float32) byte {
	code := nf4Below[int((x+1)*16)]
	above := math.Float32bits(nf4Bounds[code&15]-x) >> 31 // 1 or 0, without a branch to mispredict
	return code + byte(above)
}

// quantizeScales sets Absmax, NestedAbsmax and Offset.
func (q *NF4) quantizeScales(scales []float32) {
	q.Offset = mean(scales)
	for i := range scales {
		scales[i] -= q.Offset
	}
	bounds := dynamicBounds()
	for nested := range slices.Chunk(scales, NF4NestedBlock) {
		largest := absmax(nested)
		q.NestedAbsmax = append(q.NestedAbsmax, largest)
		inverse := 1 / max(largest, least)
		for _, x := range nested {
			if largest < least {
				q.Absmax = append(q.Absmax, 0)
				continue
			}
			code, _ := slices.BinarySearch(bounds[:], dynamicGrid(x*inverse))
			q.Absmax = append(q.Absmax, byte(code))
		}
	}
}

// dynamicBounds are the middles between neighbours of DynamicMap.
func dynamicBounds() (bounds [255]float32) {
	for i := range bounds {
		bounds[i] = 0.5 * (DynamicMap[i] + DynamicMap[i+1])
	}
	return bounds
}

// dynamicGrid is the one of 65,536 evenly spaced numbers from -1 to 1 that is nearest
// to x: those whose codes bitsandbytes' processor kernel has in a table. (Its CUDA
// kernel looks x itself up, which can give the next code, nearly as near.)
func dynamicGrid(x float32) float32 {
	const last = 1<<16 - 1
	x = min(max(x, -1), 1)
	i := uint16(float32(float64((x+1)*0.5)*last + 0.5))
	return -1 + 2*float32(i)/last
}

// mean is Σ x/n, summed in float64: PyTorch's float32 sum depends on the processor
// and its threads in the last bits.
func mean(x []float32) float32 {
	sum := 0.0
	for _, v := range x {
		sum += float64(v)
	}
	return float32(sum) / float32(max(len(x), 1))
}

// absmax is the largest absolute value, or NaN if there is one.
func absmax(x []float32) float32 {
	largest := uint32(0) // positive numbers are ordered like their bits, and NaN comes last
	for _, v := range x {
		largest = max(largest, math.Float32bits(v)&^(1<<31))
	}
	return math.Float32frombits(largest)
}

// parallel runs units on threads threads and returns the error of the first of those
// that fail.
func parallel(threads, units int, run func(unit int) error) error {
	errs := make([]error, units)
	var next atomic.Int64
	var group sync.WaitGroup
	for range min(max(threads, 1), units) {
		group.Go(func() {
			for unit := int(next.Add(1)) - 1; unit < units; unit = int(next.Add(1)) - 1 {
				errs[unit] = run(unit)
			}
		})
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

func ceilDiv(n, d int) int { return (n + d - 1) / d }
