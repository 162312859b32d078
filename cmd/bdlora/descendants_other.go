//go:build unix && !linux

package main

// Where orphans cannot be adopted, what a command leaves outside its process group is
// left to itself: the processes of mpirun end when they lose it.

func adoptOrphans() error { return nil }

func killDescendants() {}

func awaitDescendants() error { return nil }
