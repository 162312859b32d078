// Package data turns bytes on disk into Go values: rows of an instruction dataset
// into [Example]s of tokens, and those into the micro-batches ([Batch]) that a
// model trains on. Its sub-packages read what lies beside the rows: chat templates
// (chat), tokenizers (tokenizer) and weights (safetensors).
package data
