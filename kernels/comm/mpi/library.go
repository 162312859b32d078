//go:build mpi && (linux || darwin)

package mpi

import (
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"unsafe"

	"github.com/ebitengine/purego"

	"bdlora/kernels/comm"
)

// function is one of the library's.
type function int

const (
	mpiInitThread function = iota
	mpiFinalize
	mpiAbort
	mpiCommRank
	mpiCommSize
	mpiCommSplit
	mpiCommSetErrhandler
	mpiErrorString
	mpiGetLibraryVersion
	mpiTypeSize
	mpiAllreduce
	mpiAllgather
	mpiReduceScatterBlock
	mpiBcast
	mpiBarrier
	functions
)

var functionNames = [functions]string{
	"MPI_Init_thread", "MPI_Finalize", "MPI_Abort", "MPI_Comm_rank", "MPI_Comm_size", "MPI_Comm_split",
	"MPI_Comm_set_errhandler", "MPI_Error_string", "MPI_Get_library_version", "MPI_Type_size",
	"MPI_Allreduce", "MPI_Allgather", "MPI_Reduce_scatter_block", "MPI_Bcast", "MPI_Barrier",
}

// library is a loaded MPI library.
type library struct {
	comm.Library
	abi
	functions [functions]uintptr
	passed    error // why others, which come first, were not loaded
}

// Find loads the library that [Open] would take, without starting it.
func Find(options comm.Options) (comm.Library, error) {
	l, err := load(options)
	if err != nil {
		return comm.Library{}, err
	}
	return l.Library, nil
}

// load binds the first library that there is.
func load(options comm.Options) (*library, error) {
	files := []string{options.Library}
	if options.Library == "" {
		files = candidates(options.Launcher)
	}
	var errs []error
	for _, file := range files {
		// Open MPI's plug-ins look for its symbols among those of the whole process.
		handle, err := purego.Dlopen(file, purego.RTLD_NOW|purego.RTLD_GLOBAL)
		if err == nil {
			return bind(file, handle, errors.Join(errs...))
		}
		errs = append(errs, err)
	}
	all := strings.Join(files, ", ")
	return nil, fmt.Errorf("mpi: %w, want one of %s:\n%w", comm.ErrNoLibrary, all, errors.Join(errs...))
}

// candidates are the files that libraries have, those of the launcher first.
func candidates(launcher comm.Launcher) []string {
	standard, open := []string{"libmpi_abi.so.1"}, []string{"libmpi.so.40"}
	mpich := []string{"libmpi.so.12", "libmpich.so.12"}
	if runtime.GOOS == "darwin" {
		const brew = "/opt/homebrew/lib/" // where dlopen does not look of itself
		standard = []string{"libmpi_abi.1.dylib", brew + "libmpi_abi.1.dylib"}
		open = []string{"libmpi.40.dylib", brew + "libmpi.40.dylib"}
		mpich = []string{"libmpi.12.dylib", brew + "libmpi.12.dylib"}
	}
	switch launcher {
	case comm.OpenMPI:
		return slices.Concat(open, standard, mpich)
	case comm.MPICH:
		return slices.Concat(mpich, standard, open)
	}
	return slices.Concat(standard, open, mpich)
}

// bind looks up functions and handles.
func bind(file string, handle uintptr, passed error) (*library, error) {
	l := &library{Library: comm.Library{File: file}, passed: passed}
	var missing []string
	symbol := func(name string) uintptr {
		address, err := purego.Dlsym(handle, name)
		if err != nil {
			missing = append(missing, name)
		}
		return address
	}
	for f, name := range functionNames {
		l.functions[f] = symbol(name)
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("mpi: %s: got no %s, want an MPI library", file, strings.Join(missing, ", "))
	}
	// The standard ABI comes first: Open MPI's library of that ABI shows its own, too.
	switch version, _ := purego.Dlsym(handle, "MPI_Abi_get_version"); {
	case version != 0 && standard(version):
		l.abi = standardABI
	case symbol("ompi_mpi_comm_world") != 0:
		l.abi = openMPIABI(symbol)
	default:
		l.abi, missing = mpichABI, nil
	}
	if len(missing) > 0 {
		return nil, fmt.Errorf("mpi: %s: got no %s, want those of Open MPI", file, strings.Join(missing, ", "))
	}
	l.ABI = l.name
	return l, l.describe()
}

// standard asks MPI_Abi_get_version, which a library may have that is not of that ABI:
// it says -1 then.
func standard(abiGetVersion uintptr) bool {
	major, minor := int32(-1), int32(0)
	purego.SyscallN(abiGetVersion, uintptr(unsafe.Pointer(&major)), uintptr(unsafe.Pointer(&minor)))
	return major >= 1
}

// describe asks what the library calls itself.
func (l *library) describe() error {
	const mpiMaxLibraryVersionString = 8192 // MPICH's, the longest
	text, n := make([]byte, mpiMaxLibraryVersionString), int32(0)
	err := l.call(mpiGetLibraryVersion, uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&n)))
	first, _, _ := strings.Cut(strings.TrimRight(string(text[:n]), "\x00\n"), "\n")
	l.Version = strings.Join(strings.Fields(strings.Split(first, ", package")[0]), " ")
	return err
}

// call calls a function. What its arguments point to stays where it is meanwhile.
//
//go:uintptrescapes
func (l *library) call(f function, args ...uintptr) error {
	if code, _, _ := purego.SyscallN(l.functions[f], args...); int32(code) != 0 {
		return l.failure(f, int32(code))
	}
	return nil
}

// failure is the library's text for an error code.
func (l *library) failure(f function, code int32) error {
	const mpiMaxErrorString = 512
	text, n := make([]byte, mpiMaxErrorString), int32(0)
	purego.SyscallN(l.functions[mpiErrorString], uintptr(code),
		uintptr(unsafe.Pointer(&text[0])), uintptr(unsafe.Pointer(&n)))
	return fmt.Errorf("mpi: %s: %s (code %d)", functionNames[f], text[:n], code)
}

// start initializes the library and checks that its ABI is what it seems to be.
func (l *library) start() error {
	var provided int32
	if err := l.call(mpiInitThread, 0, 0, l.serialized, uintptr(unsafe.Pointer(&provided))); err != nil {
		return err
	}
	if uintptr(provided) < l.serialized {
		return fmt.Errorf("mpi: %s: thread level is %d, want at least %d (MPI_THREAD_SERIALIZED)",
			l.File, provided, l.serialized)
	}
	for t := comm.Bytes; t <= comm.Float64; t++ {
		var bytes int32
		err := l.call(mpiTypeSize, l.types[t], uintptr(unsafe.Pointer(&bytes)))
		if err != nil || int(bytes) != t.Size() {
			return fmt.Errorf("mpi: %s: %s: a %s has %d bytes, want %d: not the ABI of this library (error %v)",
				l.File, l.ABI, t, bytes, t.Size(), err)
		}
	}
	return nil
}

// finalize ends the library. MPICH 5 takes its leave of the launcher only in a handler
// for the exit of a C program; without it the launcher takes the end of the process for
// a failure.
func (l *library) finalize() error {
	if err := l.call(mpiFinalize); err != nil {
		return err
	}
	if runHandlers, err := purego.Dlsym(purego.RTLD_DEFAULT, "__cxa_finalize"); err == nil && l.name != openMPI {
		purego.SyscallN(runHandlers, 0)
	}
	return nil
}
