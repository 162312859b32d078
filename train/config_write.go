package train

import (
	"io"

	"bdlora/data/durable"

	"go.yaml.in/yaml/v4"
)

// Write writes every setting to the file path, in YAML, which [ReadConfig] reads
// back to the same. It fails as [durable.WriteFile] does.
func (c Config) Write(path string) error {
	return durable.WriteFile(path, c.encode)
}

func (c Config) encode(w io.Writer) error {
	text, err := yaml.Dump(c)
	if err != nil {
		return err
	}
	_, err = w.Write(text)
	return err
}
