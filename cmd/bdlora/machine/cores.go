package machine

// firstCores are cores by number, where nothing better is known of them.
func firstCores(n int) []int {
	cores := make([]int, n)
	for core := range cores {
		cores[core] = core
	}
	return cores
}
