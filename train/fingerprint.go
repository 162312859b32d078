package train

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"

	"bdlora/data"
	"bdlora/data/durable"
)

// wholeBytes is the size up to which a model's files are hashed whole.
const wholeBytes = 512 << 20

// Fingerprint identifies the content of one file that a run reads.
type Fingerprint struct {
	Name  string `json:"name"`  // the setting, and the file's name below it if that is a folder; or what was made of it
	Bytes int64  `json:"bytes"` // size of the file, or of the tokens
	Sum   string `json:"sum"`   // "sha256:…", or "sha256-sampled:…" for a large file
}

// Inputs are the fingerprints of all that a run with these settings reads: the
// base model's weights, configuration and tokenizer, and the datasets.
//
// A dataset has its whole SHA-256, and so has a file of the model up to 512 MiB. A
// larger one, which only weights are, has that of its size and of 512 blocks of
// 64 KiB, evenly spaced: 32 MiB, the tensor table at its start included. The full
// hash of a model of 16 GB would take 15 s of processor and a full read of the disk
// at every start. What must not pass unseen is another model in the old one's place,
// which differs everywhere: any change that reaches over a 512th of the file is found
// for certain. A flipped bit in a huge file may pass; finding that is the business
// of whoever copies it.
func Inputs(c Config) ([]Fingerprint, error) {
	var prints []Fingerprint
	add := func(name, path string, whole int64) error {
		one, err := fingerprint(name, path, whole)
		prints = append(prints, one)
		return err
	}
	files, err := modelFiles(c.ModelNameOrPath)
	if err != nil {
		return nil, err
	}
	for _, path := range files {
		if err := add("model_name_or_path/"+filepath.Base(path), path, wholeBytes); err != nil {
			return nil, err
		}
	}
	if err := add("dataset", c.Dataset, math.MaxInt64); err != nil {
		return nil, err
	}
	if c.EvalDataset != "" {
		if err := add("eval_dataset", c.EvalDataset, math.MaxInt64); err != nil {
			return nil, err
		}
	}
	return prints, nil
}

// modelFiles are the files of a model folder that could change what is trained, in
// alphabetical order. There may be none.
func modelFiles(dir string) ([]string, error) {
	if _, err := os.Stat(dir); err != nil {
		return nil, err
	}
	names := []string{
		"*.safetensors", "model.safetensors.index.json", "config.json",
		"tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "chat_template.jinja", "chat_template.json",
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var paths []string
	for _, file := range files {
		wanted := slices.ContainsFunc(names, func(pattern string) bool {
			ok, _ := filepath.Match(pattern, file.Name()) // the patterns are right
			return ok
		})
		if wanted {
			paths = append(paths, filepath.Join(dir, file.Name()))
		}
	}
	return paths, nil
}

// fingerprint reads the file path, or samples it if it has more than whole bytes.
func fingerprint(name, path string, whole int64) (Fingerprint, error) {
	size, sum, err := durable.Fingerprint(path, whole)
	return Fingerprint{name, size, sum}, err
}

// examplesPrint identifies what the rows of a dataset became: a template or tokenizer
// that reads them in another way makes another run, whatever the files.
func examplesPrint(name string, examples []data.Example) Fingerprint {
	tokens := int64(0)
	for i := range examples {
		tokens += int64(len(examples[i].Tokens))
	}
	return Fingerprint{name, 4 * tokens, "sha256:" + data.Hash(examples)}
}

// DiffInputs is what differs between the inputs of a checkpoint and those of the run
// that is to resume from it, a line a file.
func DiffInputs(checkpoint, run []Fingerprint) []string {
	return diffInputs("the checkpoint", checkpoint, "this run", run)
}

func diffInputs(nameA string, as []Fingerprint, nameB string, bs []Fingerprint) []string {
	var lines []string
	for _, a := range as {
		i := slices.IndexFunc(bs, func(b Fingerprint) bool { return b.Name == a.Name })
		switch {
		case i < 0:
			lines = append(lines, fmt.Sprintf("%s: %s has it, %s has not", a.Name, nameA, nameB))
		case bs[i] != a:
			lines = append(lines, fmt.Sprintf("%s: %s has %d bytes of %s, %s has %d of %s",
				a.Name, nameA, a.Bytes, a.Sum, nameB, bs[i].Bytes, bs[i].Sum))
		}
	}
	for _, b := range bs {
		if !slices.ContainsFunc(as, func(a Fingerprint) bool { return a.Name == b.Name }) {
			lines = append(lines, fmt.Sprintf("%s: %s has it, %s has not", b.Name, nameB, nameA))
		}
	}
	return lines
}
