package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of CPU times in /proc: USER_HZ, 100 on every Linux that Go supports.
const tick = 10 * time.Millisecond

// processorTime returns the CPU time, user and system, of a process and all its descendants. The time of an ended child
// is included in its parent's (PostgreSQL waits for its sessions), so nothing is lost between two readings. ok is false
// without /proc, and when the process has ended.
func processorTime(pid int) (used time.Duration, ok bool) {
	children := childrenOf()
	var ticks int64
	var walk func(pid int) bool
	walk = func(pid int) bool {
		stat, err := readStat(pid)
		if err != nil {
			return false
		}
		ticks += stat.ticks
		for _, child := range children[pid] {
			walk(child) // if it has just ended, its parent's next reading includes its time
		}
		return true
	}
	ok = walk(pid)
	return time.Duration(ticks) * tick, ok
}

func childrenOf() map[int][]int {
	children := map[int][]int{}
	dirs, _ := filepath.Glob("/proc/[0-9]*") // the pattern is well-formed
	for _, dir := range dirs {
		pid, _ := strconv.Atoi(filepath.Base(dir))
		if stat, err := readStat(pid); err == nil {
			children[stat.parent] = append(children[stat.parent], pid)
		}
	}
	return children
}

type procStat struct {
	parent int
	ticks  int64 // its own and those of ended children
}

// readStat reads fields 4 (parent) and 14 to 17 (times) of proc(5). The name in field 2 can contain any character.
func readStat(pid int) (s procStat, err error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return s, err
	}
	fields := strings.Fields(string(data[strings.LastIndexByte(string(data), ')')+1:])) // field 3 is the first
	if len(fields) < 15 {
		return s, fmt.Errorf("/proc/%d/stat has %d fields", pid, len(fields))
	}
	s.parent, _ = strconv.Atoi(fields[1])
	for _, field := range fields[11:15] {
		n, err := strconv.ParseInt(field, 10, 64)
		if err != nil {
			return s, err
		}
		s.ticks += n
	}
	return s, nil
}

// peakMemory returns the largest resident set of the process so far, in MiB.
func peakMemory(pid int) (mib float64, ok bool) {
	return kibField(fmt.Sprintf("/proc/%d/status", pid), "VmHWM")
}

// residentMemory returns the resident set of the process, in MiB.
func residentMemory(pid int) (mib float64, ok bool) {
	return kibField(fmt.Sprintf("/proc/%d/status", pid), "VmRSS")
}

// kibField reads a line of the form "Name:   1234 kB" and returns the value in MiB.
func kibField(file, name string) (mib float64, ok bool) {
	data, err := os.ReadFile(file)
	if err != nil {
		return 0, false
	}
	for line := range strings.Lines(string(data)) {
		if rest, found := strings.CutPrefix(line, name+":"); found {
			kib, err := strconv.ParseFloat(strings.Fields(rest)[0], 64)
			return kib / 1024, err == nil
		}
	}
	return 0, false
}
