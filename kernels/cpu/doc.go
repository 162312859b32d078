// Package cpu is the fast [kernels.Backend] for float32 on the host.
//
// All products run through small tiles of c = Σ a⊗b that stay in registers
// (tile), fed from packed panels: weights of any format become float32 on
// the way. Where the processor has matrix units for bfloat16 (Intel's AMX), large
// products go there, as exact sums of bfloat16 terms. What is bound by exponentials or
// reductions runs through vector loops. All of it comes in one set per instruction set
// ([Paths]): AVX-512 and AVX2 in assembly that asmgen generates, NEON in assembly that
// asmgen/neon generates, and plain Go for everything else.
//
// Work is cut into units that write disjoint results and is handed out as threads
// become free. Which unit adds what in which order never depends on the threads,
// so neither do the bits.
package cpu

//go:generate sh -c "cd asmgen && go run . -out ../routines_amd64.s -stubs ../stubs_amd64.go -pkg cpu"
//go:generate sh -c "cd asmgen && go run ./neon -out ../routines_arm64.s -stubs ../stubs_arm64.go -pkg cpu"
