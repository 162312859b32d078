package train

import (
	"bufio"
	"bytes"
	"fmt"
	"io/fs"
	"math"
	"os"
	"path"
	"strconv"
	"strings"

	"github.com/shirou/gopsutil/v4/mem"
)

// AvailableMemory is what a process may still take without another one's being
// pushed out, in bytes: what the system says, or less where control groups, of
// containers or batch systems, limit it.
func AvailableMemory() (int64, error) {
	machine, err := mem.VirtualMemory()
	if err != nil {
		return 0, fmt.Errorf("train: available memory: %w", err)
	}
	return min(int64(machine.Available), groupMemory(os.DirFS("/"))), nil
}

// availableMemory is 0 where the system does not say.
func availableMemory() int64 {
	available, err := AvailableMemory()
	if err != nil {
		return 0
	}
	return available
}

// controlGroup are the names of one version of Linux' control groups.
type controlGroup struct {
	controllers   string // of a line of /proc/self/cgroup
	mount         string
	limit, usage  string
	files, active string // of memory.stat: what the kernel may drop
}

var controlGroups = [...]controlGroup{
	{"", "sys/fs/cgroup", "memory.max", "memory.current", "inactive_file", "active_file"},
	{"memory", "sys/fs/cgroup/memory", "memory.limit_in_bytes", "memory.usage_in_bytes",
		"total_inactive_file", "total_active_file"},
}

// groupMemory is what the control groups of this process leave it: the least of its
// own and of all above. Without any it is the largest number.
func groupMemory(root fs.FS) int64 {
	least := int64(math.MaxInt64)
	text, err := fs.ReadFile(root, "proc/self/cgroup")
	if err != nil {
		return least
	}
	for line := range strings.Lines(string(text)) {
		fields := strings.SplitN(strings.TrimSpace(line), ":", 3) // number, controllers, path
		for _, g := range controlGroups {
			if len(fields) == 3 && fields[1] == g.controllers {
				least = min(least, g.available(root, fields[2]))
			}
		}
	}
	return least
}

// available is the least that the group of that path and those above it leave. In a
// container the path may be that of the host, of which only the top is to be seen.
func (g controlGroup) available(root fs.FS, group string) int64 {
	least := int64(math.MaxInt64)
	for dir := path.Clean("/" + group); ; dir = path.Dir(dir) {
		folder := path.Join(g.mount, dir)
		limit, errLimit := number(root, path.Join(folder, g.limit))
		usage, errUsage := number(root, path.Join(folder, g.usage))
		if errLimit == nil && errUsage == nil {
			least = min(least, limit-usage+g.droppable(root, folder))
		}
		if dir == "/" {
			return max(0, least)
		}
	}
}

// droppable is the memory of a group that holds files, such as the weights of models,
// which are read again when they are wanted.
func (g controlGroup) droppable(root fs.FS, folder string) int64 {
	text, err := fs.ReadFile(root, path.Join(folder, "memory.stat"))
	if err != nil {
		return 0
	}
	sum := int64(0)
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		if name == g.files || name == g.active {
			n, err := strconv.ParseInt(value, 10, 64)
			if err == nil {
				sum += n
			}
		}
	}
	return sum
}

// number is the one in a file; "max", which is no limit, is an error.
func number(root fs.FS, name string) (int64, error) {
	text, err := fs.ReadFile(root, name)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(text)), 10, 64)
}
