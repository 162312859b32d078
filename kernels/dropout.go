package kernels

// Keep reports whether element (row, col) of a view survives. It hashes the key
// with the element's place by the finaliser of SplitMix64
// (https://doi.org/10.1145/2660193.2660195) and compares the upper 53 bits with P.
func (d Dropout) Keep(row, col int) bool {
	z := d.Key + uint64(row)*0x9e3779b97f4a7c15 + uint64(d.FirstCol+col)*0xd1b54a32d192ed03
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	z ^= z >> 31
	return float64(z>>11)/(1<<53) >= d.P
}
