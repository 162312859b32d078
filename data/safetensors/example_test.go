package safetensors_test

import (
	"fmt"
	"log"
	"os"
	"path/filepath"

	"bdlora/data/safetensors"
)

func ExampleWrite() {
	dir, err := os.MkdirTemp("", "safetensors")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "adapter.safetensors")
	err = safetensors.Write(path, []safetensors.Entry{
		safetensors.FromF32("lora_B", []int{3, 1}, []float32{0, 0, 0}),
		safetensors.FromF32("lora_A", []int{1, 2}, []float32{0.5, -0.25}),
	}, map[string]string{"format": "pt"})
	if err != nil {
		log.Fatal(err)
	}

	f, err := safetensors.Open(path)
	if err != nil {
		log.Fatal(err)
	}
	defer f.Close()
	for _, tensor := range f.Tensors() {
		values, err := tensor.F32()
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(tensor.Name, tensor.Shape, values)
	}
	// Output:
	// lora_A [1 2] [0.5 -0.25]
	// lora_B [3 1] [0 0 0]
}
