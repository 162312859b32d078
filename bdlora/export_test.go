package bdlora

// ParsePEFTConfig is what LoadPEFT makes of an adapter_config.json.
func ParsePEFTConfig(text []byte, base Base) (*Plan, error) {
	c, err := parsePEFTConfig(text)
	if err != nil {
		return nil, err
	}
	return c.plan(base)
}

// EncodePEFTConfig is the adapter_config.json that SavePEFT writes.
func EncodePEFTConfig(plan *Plan) ([]byte, error) { return newPEFTConfig(plan, false).encode() }
