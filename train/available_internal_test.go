package train

import (
	"math"
	"testing"
	"testing/fstest"
)

func TestControlGroupsLimitMemory(t *testing.T) {
	const none = math.MaxInt64
	tests := []struct {
		name  string
		files map[string]string
		want  int64
	}{
		{"no groups", nil, none},
		{"version 2, no limit", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "max\n", "sys/fs/cgroup/memory.current": "5\n",
		}, none},
		{"version 2, in a container", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "300\n",
		}, 700},
		{"version 2, files may go", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "900\n",
			"sys/fs/cgroup/memory.stat": "anon 200\nfile 700\ninactive_file 600\nactive_file 50\n",
		}, 750},
		{"version 2, the group above has less", map[string]string{
			"proc/self/cgroup":             "0::/job/step\n",
			"sys/fs/cgroup/job/memory.max": "1000\n", "sys/fs/cgroup/job/memory.current": "900\n",
			"sys/fs/cgroup/job/step/memory.max": "500\n", "sys/fs/cgroup/job/step/memory.current": "100\n",
		}, 100},
		{"version 1, the host's path in a container", map[string]string{
			"proc/self/cgroup":                                "4:cpu,cpuacct:/docker/a\n3:memory:/docker/a\n",
			"sys/fs/cgroup/memory/memory.limit_in_bytes":      "2000\n",
			"sys/fs/cgroup/memory/memory.usage_in_bytes":      "500\n",
			"sys/fs/cgroup/memory/memory.stat":                "total_inactive_file 40\ninactive_file 7\ntotal_active_file 2\n",
			"sys/fs/cgroup/memory.max":                        "1\n",
			"sys/fs/cgroup/memory.current":                    "1\n",
			"sys/fs/cgroup/cpu,cpuacct/memory.limit_in_bytes": "1\n",
		}, 1542},
		{"more than the limit in use", map[string]string{
			"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/memory.max": "1000\n", "sys/fs/cgroup/memory.current": "1300\n",
		}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			root := fstest.MapFS{}
			for name, text := range test.files {
				root[name] = &fstest.MapFile{Data: []byte(text)}
			}
			if got := groupMemory(root); got != test.want {
				t.Errorf("got %d, want %d", got, test.want)
			}
		})
	}
}

func TestMemoryOfThisMachineIsKnown(t *testing.T) {
	if got, err := AvailableMemory(); err != nil || got < 1<<20 {
		t.Errorf("got %d bytes and error %v, want some MiB at least", got, err)
	}
}
