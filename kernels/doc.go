// Package kernels holds what computes: the [Backend] that every product and
// element-wise kernel of a Llama half-layer goes through, the views it works on
// ([Buf], [Matrix], [Weight]), and [Apply], which puts a differentiable function
// written over a Backend into a Gorgonia graph.
//
// Implementations live in sub-packages: ref is plain Go and the oracle, cpu the
// fast default. kernelstest holds the suite that each must pass.
package kernels
