package media_test

import (
	"log/slog"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/api/media"
	"greenroom/db"
	"greenroom/db/dbtest"
	"greenroom/db/pg"
)

// A file stays reserved while it is uploaded, and at most one lease longer when its uploader was killed.
func TestReserve(t *testing.T) {
	t.Parallel()
	ctx, d := t.Context(), dbtest.New(t)
	due := func() (at time.Time) {
		require.NoError(t, d.NewRaw("SELECT due_at FROM stray_files WHERE file = 'f'").Scan(ctx, &at))
		return at
	}
	const lease = time.Second
	reservations := media.Reservations{DB: d, Lease: lease, Logger: slog.New(slog.DiscardHandler)}
	release, err := reservations.Reserve(ctx, "f")
	require.NoError(t, err)
	first := due()
	assert.WithinDuration(t, time.Now().Add(lease), first, lease)
	assert.Eventually(t, func() bool { return due().After(first.Add(2 * lease)) }, 20*lease, lease/10)
	release()
	last := due()
	assert.Eventually(t, func() bool {
		files, err := db.OrphanedFiles(ctx, d, 1)
		return err == nil && len(files) == 1
	}, 20*lease, lease/10)
	assert.Equal(t, last, due(), "no renewal after release")

	require.NoError(t, db.RenewFile(ctx, d, "f", time.Now().Add(time.Hour)))
	assert.Equal(t, last, due(), "a due file may be deleted already")
	_, err = reservations.Reserve(ctx, "f")
	require.ErrorIs(t, err, pg.ErrDuplicate)

	release, err = media.Reservations{DB: d}.Reserve(ctx, "g")
	require.NoError(t, err)
	release()
	var whole time.Time
	require.NoError(t, d.NewRaw("SELECT due_at FROM stray_files WHERE file = 'g'").Scan(ctx, &whole))
	assert.WithinDuration(t, time.Now().Add(media.Lease), whole, time.Minute/2)
}
