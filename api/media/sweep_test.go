package media_test

import (
	"context"
	"errors"
	"log/slog"
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
	sweeper := media.NewSweeper(media.SweeperOptions{DB: d, Store: store, Logger: slog.New(slog.DiscardHandler)})
	put := func(name string, due time.Time) {
		require.NoError(t, db.ReserveFile(ctx, d, name, due))
		_, err := store.Put(ctx, name, strings.NewReader("x"), 1)
		require.NoError(t, err)
	}
	put("under-way", time.Now().Add(time.Hour))
	put("due", time.Now().Add(-time.Second))
	require.NoError(t, db.ReserveFile(ctx, d, "never-came", time.Now().Add(-time.Second)))

	deleted, err := sweeper.RunOnce(ctx)
	require.NoError(t, err)
	assert.Equal(t, 2, deleted)
	_, err = store.Open(ctx, "due")
	require.ErrorIs(t, err, media.ErrNotFound)
	f, err := store.Open(ctx, "under-way")
	require.NoError(t, err)
	require.NoError(t, f.Close())
	deleted, err = sweeper.RunOnce(ctx)
	require.NoError(t, err)
	assert.Zero(t, deleted, "what is deleted is forgotten")
}

// A store that is away must not make the list forget what is to be deleted, nor one bad file keep the others.
func TestSweeper_tries_again(t *testing.T) {
	t.Parallel()
	ctx, d, store := t.Context(), dbtest.New(t), media.NewDir(t.TempDir())
	away := &failing{Store: store, name: "a"}
	sweeper := media.NewSweeper(
		media.SweeperOptions{DB: d, Store: away, Logger: slog.New(slog.DiscardHandler), Every: time.Millisecond},
	)
	for _, name := range []string{"a", "b"} {
		require.NoError(t, db.ReserveFile(ctx, d, name, time.Now().Add(-time.Second)))
		_, err := store.Put(ctx, name, strings.NewReader("x"), 1)
		require.NoError(t, err)
	}
	deleted, err := sweeper.RunOnce(ctx)
	require.ErrorIs(t, err, errAway)
	assert.Equal(t, 1, deleted)
	var left []string
	require.NoError(t, d.NewRaw("SELECT file FROM stray_files").Scan(ctx, &left))
	assert.Equal(t, []string{"a"}, left)
	deleted, err = sweeper.RunOnce(ctx)
	require.NoError(t, err, "it waits before it is tried again")
	assert.Zero(t, deleted)

	away.name = ""
	_, err = d.ExecContext(ctx, "UPDATE stray_files SET not_before = now()")
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		sweeper.Run(ctx)
	}()
	assert.Eventually(t, func() bool {
		left, err := db.OrphanedFiles(ctx, d, 10)
		return err == nil && len(left) == 0
	}, 10*time.Second, 5*time.Millisecond)
	cancel()
	<-done
}

func TestSweeper_goes_past_files_that_cannot_be_deleted(t *testing.T) {
	t.Parallel()
	ctx, d, store := t.Context(), dbtest.New(t), media.NewDir(t.TempDir())
	sweeper := media.NewSweeper(
		media.SweeperOptions{DB: d, Store: &failing{Store: store, name: "bad"}, Logger: slog.New(slog.DiscardHandler)},
	)
	_, err := d.ExecContext(
		ctx,
		"INSERT INTO stray_files (file, due_at) SELECT 'bad-' || n, now() - interval '1 hour' FROM generate_series(1, 250) n",
	)
	require.NoError(t, err)
	require.NoError(t, db.ReserveFile(ctx, d, "good", time.Now().Add(-time.Second)))
	deleted := 0
	for range 3 {
		n, err := sweeper.RunOnce(ctx)
		require.ErrorIs(t, err, errAway)
		deleted += n
	}
	assert.Equal(t, 1, deleted)
	var kept int
	require.NoError(
		t,
		d.NewRaw("SELECT count(*) FROM stray_files WHERE attempts = 1 AND reason = 'the store is away'").Scan(ctx, &kept),
	)
	assert.Equal(t, 250, kept)
}

var errAway = errors.New("the store is away")

// failing is a store that cannot delete files whose names begin so.
type failing struct {
	media.Store
	name string
}

func (f *failing) Delete(ctx context.Context, name string) error {
	if f.name != "" && strings.HasPrefix(name, f.name) {
		return errAway
	}
	return f.Store.Delete(ctx, name)
}
