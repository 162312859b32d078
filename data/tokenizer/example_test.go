package tokenizer_test

import (
	"fmt"
	"log"

	"bdlora/data/tokenizer"
)

func ExampleTokenizer_EncodeOffsets() {
	tk, err := tokenizer.Load("testdata/llama3")
	if err != nil {
		log.Fatal(err)
	}
	const text = "the lazy fox<|eot_id|>"
	for _, p := range tk.EncodeOffsets(text) {
		fmt.Printf("%q %q\n", tk.Token(p.ID), text[p.Start:p.End])
	}
	// Output:
	// "the" "the"
	// "Ġlazy" " lazy"
	// "Ġfox" " fox"
	// "<|eot_id|>" "<|eot_id|>"
}
