// Package mpi is a [comm.Comm] between processes, over the MPI library of the machine,
// for programs built with -tags mpi. The library is bound when it is opened, without
// cgo and without its headers: Open MPI from version 4 on, MPICH and its family (Intel
// MPI, MVAPICH, Cray MPICH), and any library with the standard ABI of MPI 5.
//
// A launcher (mpirun, srun) has started the processes. What it does not see, a process
// that has stopped, that loops, or whose link is cut, is found by a watchdog on every
// collective: beside MPI each process tells process 0, over TCP, how many collectives it
// has begun, and process 0 tells all, so that each can say who is missing.
package mpi
