package ref_test

import (
	"fmt"

	"bdlora/kernels"
	"bdlora/kernels/ref"
)

func ExampleBackend() {
	be := ref.New[float32]()
	x := kernels.NewMatrix(kernels.F32{1, 2, 3, 4, 5, 6}, 3, 2)
	gram := kernels.NewMatrix(be.Alloc(4), 2, 2)
	be.MatMul(gram, 0.5, x.T(), x, false)
	fmt.Println(gram.Buf)
	// Output: [17.5 22 22 28]
}
