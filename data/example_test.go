package data_test

import (
	"fmt"

	"bdlora/data"
)

func ExampleSampler() {
	examples := []data.Example{
		{Tokens: []int32{1, 10, 11}, Trained: []bool{false, false, true}},
		{Tokens: []int32{1, 20}, Trained: []bool{false, true}},
		{Tokens: []int32{1, 30, 31, 32}, Trained: []bool{false, true, true, true}},
	}
	s, err := data.NewSampler(examples, data.SamplerConfig{
		Seed: 42, BatchSize: 1, AccumulationSteps: 2, Packing: true, MaxLength: 5,
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("steps an epoch:", s.StepsPerEpoch())
	for _, b := range s.Step(0) {
		fmt.Println(b.Lengths, b.Tokens, b.Targets)
	}
	// Output:
	// steps an epoch: 1
	// [4] [1 30 31 32] [30 31 32 -1]
	// [3 2] [1 10 11 1 20] [-1 11 -1 20 -1]
}
