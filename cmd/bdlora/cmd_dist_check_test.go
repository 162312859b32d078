package main

import "testing"

func TestDistCheckRefusesWrongFlags(t *testing.T) {
	for _, args := range [][]string{{"--threads", "-1"}, {"--tensor_parallel_size", "-2"}, {"--timeout", "0s"}, {"argument"}} {
		if r := bdloraWith("", append([]string{"dist", "check"}, args...)...); r.code != exitUsage {
			t.Errorf("%q: exit code %d, want %d\n%s", args, r.code, exitUsage, r.stderr)
		}
	}
}
