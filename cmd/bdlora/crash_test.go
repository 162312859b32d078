package main

import (
	"bytes"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"
	"time"
)

// Law: a run that is killed again and again, in the middle of steps and of saving,
// ends with the same shards as one that never was, whatever its threads.
func TestKilledRunsEndWithTheSameBytes(t *testing.T) {
	if testing.Short() {
		t.Skip("kills a training process twenty times: about a minute")
	}
	const kills = 20
	dir := unpacked(t)
	settings := []string{"max_steps=0", "num_train_epochs=2.5", "save_steps=1", "save_total_limit=2", "dataset=" + fewRows(t, dir, 60)}
	began := time.Now()
	if out, err := program(1, shortRun(dir, settings...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	whole := time.Since(began)
	want := shards(t, filepath.Join(dir, "out"))

	seed := uint64(began.UnixNano())
	t.Logf("seed of the kills: %d", seed)
	rng := rand.New(rand.NewPCG(seed, 0))
	settings = append(settings, "resume_from_checkpoint=auto", "output_dir="+filepath.Join(dir, "killed"))
	killed := 0
	for attempt := 0; killed < kills; attempt++ {
		if attempt == 10*kills {
			t.Fatalf("%d kills in %d attempts, want %d", killed, attempt, kills)
		}
		run := program(1+attempt%2, shortRun(dir, settings...)...)
		if err := run.Start(); err != nil {
			t.Fatal(err)
		}
		time.AfterFunc(time.Duration(rng.Int64N(int64(whole))/2), func() { run.Process.Kill() })
		if run.Wait() != nil {
			killed++
			continue
		}
		// It came to its end in the meantime: check, and begin anew.
		checkSame(t, want, filepath.Join(dir, "killed"))
		if err := os.RemoveAll(filepath.Join(dir, "killed")); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := program(2, shortRun(dir, settings...)...).CombinedOutput(); err != nil {
		t.Fatalf("after %d kills: %v\n%s", killed, err, out)
	}
	checkSame(t, want, filepath.Join(dir, "killed"))
}

func checkSame(t *testing.T, want []byte, dir string) {
	t.Helper()
	if !bytes.Equal(shards(t, dir), want) {
		t.Error("the shards of the killed run differ from those of the one that never was")
	}
}

// program is a process of bdlora on that many threads.
func program(threads int, args ...string) *exec.Cmd {
	c := exec.Command(os.Args[0], append(args, "threads="+strconv.Itoa(threads))...)
	c.Env = append(os.Environ(), asProgram+"=1", "GOMAXPROCS="+strconv.Itoa(threads))
	return c
}

// fewRows writes the first rows of the embedded dataset into a file of their own.
func fewRows(t *testing.T, dir string, n int) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(dir, "train.jsonl"))
	if err != nil {
		t.Fatal(err)
	}
	lines := bytes.SplitAfter(text, []byte("\n"))
	path := filepath.Join(dir, "few.jsonl")
	if err := os.WriteFile(path, bytes.Join(lines[:n], nil), 0o666); err != nil {
		t.Fatal(err)
	}
	return path
}

// shards are the bytes of all shards in an output folder.
func shards(t *testing.T, dir string) []byte {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "shards", "tp4", "*.safetensors"))
	if err != nil || len(files) != 4 {
		t.Fatalf("%s: got %d shards and error %v, want 4", dir, len(files), err)
	}
	var all []byte
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, text...)
	}
	return all
}
