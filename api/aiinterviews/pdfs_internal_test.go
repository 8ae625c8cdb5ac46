package aiinterviews

import (
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/api/surface"
	"greenroom/db"
)

func reportOf(summary string) *report {
	r := &report{interview: &db.Interview{Number: 1}}
	r.CandidateSummary = &summary
	return r
}

func TestPDFs_renders_a_report_once(t *testing.T) {
	t.Parallel()
	p := newPDFs()
	files := make([][]byte, 8)
	var all sync.WaitGroup
	for i := range files {
		all.Go(func() { files[i], _ = p.of(t.Context(), reportOf("Good.")) })
	}
	all.Wait()
	for _, file := range files {
		require.NotEmpty(t, file)
		require.Same(t, &files[0][0], &file[0])
	}
	other, err := p.of(t.Context(), reportOf("Better."))
	require.NoError(t, err)
	require.NotSame(t, &files[0][0], &other[0])
}

func TestPDFs_are_kept_within_a_limit(t *testing.T) {
	t.Parallel()
	p := newPDFs()
	for i := range byte(10) {
		p.keep([32]byte{i}, make([]byte, cachedPDFs/4))
	}
	require.Len(t, p.files, 4)
	require.Equal(t, cachedPDFs, p.bytes)
	p.keep([32]byte{99}, make([]byte, cachedPDFs+1))
	require.Nil(t, p.find([32]byte{99}))
}

func TestPDFs_refuses_when_others_are_rendered(t *testing.T) {
	t.Parallel()
	p := newPDFs()
	p.turns = surface.NewShares(1, 1, time.Millisecond)
	release, got := p.turns.Acquire(t.Context(), "", 1)
	require.True(t, got)
	_, err := p.of(t.Context(), reportOf("Good."))
	var busy *surface.Error
	require.ErrorAs(t, err, &busy)
	require.Equal(t, http.StatusServiceUnavailable, busy.Status)
	release()
	_, err = p.of(t.Context(), reportOf("Good."))
	require.NoError(t, err)
}

func TestFirstPiece(t *testing.T) {
	t.Parallel()
	require.Equal(t, "short", firstPiece("short"))
	require.Equal(t, strings.Repeat("ä", maxPiece), firstPiece(strings.Repeat("ä", 3*maxPiece)))
	require.Equal(t, "word ", firstPiece("word "+strings.Repeat("x", 3*maxPiece)))
}
