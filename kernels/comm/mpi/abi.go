//go:build mpi && (linux || darwin)

package mpi

import "bdlora/kernels/comm"

// abi is what a header tells a C compiler: values that differ between libraries whose
// functions are the same.
type abi struct {
	name         string
	world        uintptr // MPI_COMM_WORLD
	types        [3]uintptr
	ops          [2]uintptr
	inPlace      uintptr
	errorsReturn uintptr
	serialized   uintptr // MPI_THREAD_SERIALIZED
}

// standardABI is that of MPI 5: https://www.mpi-forum.org/docs, "Application binary
// interface"; the values are those of MPICH 5.0.2's mpi_abi.h.
var standardABI = abi{
	name:         "MPI 5 standard ABI",
	world:        0x101,
	types:        [...]uintptr{comm.Bytes: 0x247, comm.Float32: 0x210, comm.Float64: 0x214},
	ops:          [...]uintptr{comm.Sum: 0x21, comm.Max: 0x23},
	inPlace:      1,
	errorsReturn: 0x143,
	serialized:   2048,
}

// mpichABI is that of MPICH and its family, the same since MPICH 3.1: mpi.h.
var mpichABI = abi{
	name:         "MPICH ABI",
	world:        0x44000000,
	types:        [...]uintptr{comm.Bytes: 0x4c00010d, comm.Float32: 0x4c00040a, comm.Float64: 0x4c00080b},
	ops:          [...]uintptr{comm.Sum: 0x58000003, comm.Max: 0x58000001},
	inPlace:      ^uintptr(0),
	errorsReturn: 0x54000001,
	serialized:   2,
}

// openMPI is the name of Open MPI's own ABI.
const openMPI = "Open MPI ABI"

// openMPIABI is that of Open MPI 4 to 6, whose handles are addresses in the library.
func openMPIABI(symbol func(name string) uintptr) abi {
	return abi{
		name:  openMPI,
		world: symbol("ompi_mpi_comm_world"),
		types: [...]uintptr{comm.Bytes: symbol("ompi_mpi_byte"), comm.Float32: symbol("ompi_mpi_float"),
			comm.Float64: symbol("ompi_mpi_double")},
		ops:          [...]uintptr{comm.Sum: symbol("ompi_mpi_op_sum"), comm.Max: symbol("ompi_mpi_op_max")},
		inPlace:      1,
		errorsReturn: symbol("ompi_mpi_errors_return"),
		serialized:   2,
	}
}
