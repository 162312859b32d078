// Package safetensors reads and writes the weight files of Hugging Face: eight
// bytes of header length, a JSON header that names every tensor with its dtype,
// shape and place, and the numbers, little-endian, row-major and without gaps.
//
// Files are memory-mapped, so opening costs the same for a megabyte as for 100 GB,
// and a tensor's numbers are views into the file. Nothing that a header claims is
// believed before it is checked against the file's true length.
//
// Source: https://github.com/huggingface/safetensors, "Format".
package safetensors
