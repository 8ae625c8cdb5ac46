package bench

import (
	"os"
	"os/exec"
	"runtime"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// TestProcessorTimeCountsDescendants checks that the CPU time of a shell's children counts, while they run and after
// they have ended.
func TestProcessorTimeCountsDescendants(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	const work = "i=0; while [ $i -lt 200000 ]; do i=$((i+1)); done"
	cmd := exec.Command("sh", "-c", "sh -c '"+work+"'; sh -c '"+work+"; sleep 60'; true")
	require.NoError(t, cmd.Start())
	t.Cleanup(func() { endTree(cmd.Process.Pid); _ = cmd.Wait() })
	require.Eventually(t, func() bool {
		used, ok := processorTime(cmd.Process.Pid)
		own, err := readStat(cmd.Process.Pid)
		return ok && err == nil && own.ticks > 0 && used > time.Duration(own.ticks)*tick
	}, time.Minute, 10*time.Millisecond, "one child has ended, one runs")
}

// endTree kills a process and its descendants.
func endTree(pid int) {
	for _, child := range childrenOf()[pid] {
		endTree(child)
	}
	if p, err := os.FindProcess(pid); err == nil {
		_ = p.Kill()
	}
}

func TestProcessorTimeOfNobody(t *testing.T) {
	t.Parallel()
	_, ok := processorTime(1 << 30)
	require.False(t, ok)
	_, ok = peakMemory(1 << 30)
	require.False(t, ok)
}

func TestPeakMemoryOfThisProcess(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("/proc is Linux's")
	}
	mib, ok := peakMemory(os.Getpid())
	require.True(t, ok)
	require.Greater(t, mib, 1.0)
}
