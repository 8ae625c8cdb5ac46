package bench

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// tick is the unit of processor times in /proc: USER_HZ, 100 on every Linux that Go runs on.
const tick = 10 * time.Millisecond

// processorTime is what a process and all its descendants have used, user and system. Children that have ended are in
// their parent's account (PostgreSQL waits for its sessions), so nothing is lost between two readings. ok is false
// where there is no /proc, and when the process is gone.
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
			walk(child) // one that ended just now is in its parent's account at the next reading
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
	ticks  int64 // own, and of children that have ended
}

// readStat reads fields 4 (parent) and 14 to 17 (times) of proc(5); the name in field 2 may have anything in it.
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

// peakMemory is the most memory (resident set) the process ever had, in MiB.
func peakMemory(pid int) (mib float64, ok bool) {
	return kibField(fmt.Sprintf("/proc/%d/status", pid), "VmHWM")
}

// kibField reads a line of the form "Name:   1234 kB", in MiB.
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
