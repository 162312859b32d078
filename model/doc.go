// Package model holds the Llama family: what a Hugging Face folder says of a model
// ([Config], [Model]), its half-layers with their adapters inside, forward and
// backward side by side (attention.go, mlp.go, head.go, linear.go), the Gorgonia
// graph that trains an adapter ([Graph]), and the passes without a graph that
// evaluate and generate ([Inference], [Decoder], [Generator]).
package model
