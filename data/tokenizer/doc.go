// Package tokenizer turns text into the token ids that a model reads, and ids back
// into text, as the tokenizer.json of a Hugging Face folder says: the same ids as
// Hugging Face's tokenizers library gives, for byte-level BPE, the kind that GPT-2,
// Llama 3, SmolLM2 and Qwen use.
//
// Text goes through five stages, each a file of this package:
//
//	added tokens     <|im_start|> and the like are cut out          added.go
//	normalizer       NFC, or nothing                                normalizer.go
//	pre-tokenizer    the rest is cut into words                     pretokenizer.go
//	model            bytes of a word are merged pair by pair        bpe.go
//	post-processor   tokens like <|begin_of_text|> are put around   postprocessor.go
//
// and back by the decoder, decode.go. What a tokenizer.json asks for beyond these
// is refused by name when it is loaded, never ignored. Only its truncation and
// padding, which belong to batches, are not looked at.
//
// Oracle: the Python package tokenizers, version 0.23.3.
package tokenizer
