package bdlora_test

import (
	"errors"
	"math"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"bdlora/bdlora"
)

func TestOpenTakesEveryFolderThatHoldsAnAdapter(t *testing.T) {
	a := trained(t, config(8, 2))
	run, export := t.TempDir(), t.TempDir()
	if err := a.SaveShards(run); err != nil {
		t.Fatal(err)
	}
	if err := a.SavePEFT(export); err != nil {
		t.Fatal(err)
	}
	shards, peft := []string{"shards.json"}, []string{"adapter_config.json", "adapter_model.safetensors"}
	for _, tc := range []struct {
		name, dir, folder, kind string
		files                   []string
	}{
		{"PEFT's", export, export, "PEFT", peft},
		{"shards", bdlora.ShardsPath(run, 2), bdlora.ShardsPath(run, 2), "shards", shards},
		{"a run's", run, bdlora.ShardsPath(run, 2), "shards", shards},
	} {
		t.Run(tc.name, func(t *testing.T) {
			folder, kind, err := bdlora.Find(tc.dir)
			if err != nil || folder != tc.folder || kind.String() != tc.kind {
				t.Errorf("got %v in %s, %v; want %v in %s", kind, folder, err, tc.kind, tc.folder)
			}
			files, err := bdlora.Files(tc.dir)
			if err != nil || !slices.EqualFunc(files, tc.files, func(path, name string) bool {
				return path == filepath.Join(tc.folder, name)
			}) {
				t.Errorf("got files %v, %v; want %v in %s", files, err, tc.files, tc.folder)
			}
			got, err := bdlora.Open(tc.dir, tiny.base())
			if err != nil {
				t.Fatal(err)
			}
			wantSame(t, got, a)
		})
	}
}

func TestFindPrefersPEFTFiles(t *testing.T) {
	dir := t.TempDir()
	a := trained(t, config(8, 2))
	if err := errors.Join(a.SaveShards(dir), a.SavePEFT(dir)); err != nil {
		t.Fatal(err)
	}
	if folder, kind, err := bdlora.Find(dir); err != nil || kind != bdlora.KindPEFT || folder != dir {
		t.Errorf("got %v in %s, %v; want PEFT in %s", kind, folder, err, dir)
	}
}

func TestFindRefusesTwoAdapters(t *testing.T) {
	dir := t.TempDir()
	for _, n := range []int{2, 4} {
		if err := trained(t, config(8, n)).SaveShards(dir); err != nil {
			t.Fatal(err)
		}
	}
	_, _, err := bdlora.Find(dir)
	wantError(t, err, "shards of 2 adapters", "shards/tp2/shards.json, shards/tp4/shards.json")
}

func TestOpenOfAnotherFolderIsErrNoAdapter(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "shards", "tp2"), 0o777); err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Join(dir, "absent"), golden("model")} {
		if _, err := bdlora.Open(d, tiny.base()); !errors.Is(err, bdlora.ErrNoAdapter) {
			t.Errorf("%s: got error %v, want ErrNoAdapter", d, err)
		}
	}
}

func TestBaseOfIsWhatTheFilesName(t *testing.T) {
	run, unnamed := t.TempDir(), t.TempDir()
	if err := trained(t, config(8, 2)).SaveShards(run); err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{run, bdlora.ShardsPath(run, 2), golden("bd4")} {
		if got, err := bdlora.BaseOf(dir); err != nil || got != "tiny" {
			t.Errorf("%s: got %q, %v; want tiny", dir, got, err)
		}
	}
	writeFile(t, filepath.Join(unnamed, configName), []byte(`{"base_model_name_or_path": null}`))
	_, err := bdlora.BaseOf(unnamed)
	wantError(t, err, configName, "base_model_name_or_path is empty")
	if _, err := bdlora.BaseOf(golden("model")); !errors.Is(err, bdlora.ErrNoAdapter) {
		t.Errorf("got error %v, want ErrNoAdapter", err)
	}
}

func TestOpenRefusesNumbersThatAreNotFinite(t *testing.T) {
	a := trained(t, config(8, 2))
	m := a.Plan.Modules[1]
	m.B.Of(a.Shards[1])[3] = float32(math.NaN())
	_, err := bdlora.Open(saved(t, a), tiny.base())
	wantError(t, err, m.Path(), "shard 1: number 3 of B is NaN, want a finite one")
}
