// Package bdlora holds adapters: which linears get one and how it is cut into
// shards ([Plan]), the numbers themselves ([Adapter]), and the files they live in.
//
// An adapter changes a linear y = x·Wᵀ into y = x·Wᵀ + s·(x·Aᵀ)·Bᵀ. In
// Block-Diagonal LoRA one of the factors is block-diagonal with N blocks, N being
// the number of tensor-parallel shards that will serve the model: B where W is
// split by its rows (column-parallel: q, k, v, gate, up), A where W is split by its
// columns (row-parallel: o, down). Shard i then needs its own blocks A_i and B_i
// and nothing from any other shard. With N = 1 it is plain LoRA.
//
// Everything trainable is held per shard, in one flat buffer a shard with the same
// layout in each of them, so that what is trained is what is served. Files are
// Hugging Face PEFT's layout ([Adapter.SavePEFT], [LoadPEFT]), the same with its
// zeros filled in for servers that know plain LoRA only ([Adapter.SaveDense]), one
// file a shard ([Adapter.SaveShards], [LoadShards]), and a model with the adapter
// merged in ([SaveMerged]). [Open] tells which of them a folder is. [Convert] cuts an
// adapter into another number of blocks.
//
// Source: arXiv 2510.23346, and PEFT's implementation for the packed layout.
package bdlora
