//go:build !linux && !darwin

package main

// peakResident is the memory that Go has taken from the system, and what says so.
func peakResident() (bytes int64, of string) { return goMemory() }
