package media_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/api/media"
	"greenroom/db"
	"greenroom/db/dbtest"
)

func TestSweeper(t *testing.T) {
	t.Parallel()
	ctx, d, store := t.Context(), dbtest.New(t), media.NewDir(t.TempDir())
	sweeper := &media.Sweeper{DB: d, Store: store}
	put := func(name string, due time.Time) {
		require.NoError(t, db.ReserveFile(ctx, d, name, due))
		_, err := store.Put(ctx, name, strings.NewReader("x"), 1)
		require.NoError(t, err)
	}
	put("under-way", time.Now().Add(time.Hour))
	put("due", time.Now().Add(-time.Second))
	require.NoError(t, db.ReserveFile(ctx, d, "never-came", time.Now().Add(-time.Second)))

	deleted, err := sweeper.Sweep(ctx)
	require.NoError(t, err)
	assert.Equal(t, 2, deleted)
	_, err = store.Open(ctx, "due")
	require.ErrorIs(t, err, media.ErrNotFound)
	f, err := store.Open(ctx, "under-way")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	deleted, err = sweeper.Sweep(ctx)
	require.NoError(t, err)
	assert.Zero(t, deleted, "a deleted file is listed no longer")
}

// An unavailable store must not lose the files to delete, and one bad file must not block the others.
func TestSweeper_retries(t *testing.T) {
	t.Parallel()
	ctx, d, store := t.Context(), dbtest.New(t), media.NewDir(t.TempDir())
	away := &failing{Store: store, name: "a"}
	sweeper := &media.Sweeper{DB: d, Store: away}
	for _, name := range []string{"a", "b"} {
		require.NoError(t, db.ReserveFile(ctx, d, name, time.Now().Add(-time.Second)))
		_, err := store.Put(ctx, name, strings.NewReader("x"), 1)
		require.NoError(t, err)
	}
	deleted, err := sweeper.Sweep(ctx)
	require.ErrorIs(t, err, errUnavailable)
	assert.Equal(t, 1, deleted)
	var left []string
	require.NoError(t, d.NewRaw("SELECT file FROM stray_files").Scan(ctx, &left))
	assert.Equal(t, []string{"a"}, left)
	deleted, err = sweeper.Sweep(ctx)
	require.NoError(t, err, "a failed file waits before its retry")
	assert.Zero(t, deleted)

	away.name = ""
	_, err = d.ExecContext(ctx, "UPDATE stray_files SET not_before = now()")
	require.NoError(t, err)
	deleted, err = sweeper.Sweep(ctx)
	require.NoError(t, err)
	assert.Equal(t, 1, deleted)
	orphaned, err := db.OrphanedFiles(ctx, d, 10)
	require.NoError(t, err)
	assert.Empty(t, orphaned)
}

func TestSweeper_skips_files_that_cannot_be_deleted(t *testing.T) {
	t.Parallel()
	ctx, d, store := t.Context(), dbtest.New(t), media.NewDir(t.TempDir())
	sweeper := &media.Sweeper{DB: d, Store: &failing{Store: store, name: "bad"}}
	_, err := d.ExecContext(
		ctx,
		"INSERT INTO stray_files (file, due_at) SELECT 'bad-' || n, now() - interval '1 hour' FROM generate_series(1, 250) n",
	)
	require.NoError(t, err)
	require.NoError(t, db.ReserveFile(ctx, d, "good", time.Now().Add(-time.Second)))
	deleted := 0
	for range 3 {
		n, err := sweeper.Sweep(ctx)
		require.ErrorIs(t, err, errUnavailable)
		deleted += n
	}
	assert.Equal(t, 1, deleted)
	var kept int
	err = d.NewRaw("SELECT count(*) FROM stray_files WHERE attempts = 1 AND reason = ?", errUnavailable.Error()).
		Scan(ctx, &kept)
	require.NoError(t, err)
	assert.Equal(t, 250, kept)
}

var errUnavailable = errors.New("the store is unavailable")

// failing is a store that fails to delete files with a given prefix.
type failing struct {
	media.Store
	name string
}

func (f *failing) Delete(ctx context.Context, name string) error {
	if f.name != "" && strings.HasPrefix(name, f.name) {
		return errUnavailable
	}
	return f.Store.Delete(ctx, name)
}
