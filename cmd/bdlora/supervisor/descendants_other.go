//go:build unix && !linux

package supervisor

import "os"

// Where orphans cannot be adopted, what a command has outside its process group is left
// to itself: the processes of mpirun end when they lose it.

func signalTrainings(int, os.Signal) bool { return false }

func adoptOrphans() error { return nil }

func killDescendants() {}

func awaitDescendants() error { return nil }
