package db_test

import (
	"sync"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/pg"
)

func (s *suite) attach(p db.Person, kind db.AttachmentKind) (file string, err error) {
	s.t.Helper()
	a := &db.Attachment{Kind: kind, File: s.reserved(), ContentType: "image/png", Size: 3}
	return a.File, s.try(func(tx bun.Tx) error { return db.PutAttachment(s.ctx, tx, p, a) })
}

func TestAttachments(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	eva := &db.Staff{CompanyID: s.company, Username: "eva", AccountType: db.Recruiter, IsActive: true}
	require.NoError(t, db.CreateStaff(s.ctx, s, eva))
	ada, user := db.CandidatePerson(s.candidate.ID), db.StaffPerson(eva.ID)

	first, err := s.attach(ada, db.Photo)
	require.NoError(t, err)
	cv, err := s.attach(ada, db.CV)
	require.NoError(t, err)
	evas, err := s.attach(user, db.Photo)
	require.NoError(t, err)
	require.Empty(t, s.strays())

	second, err := s.attach(ada, db.Photo)
	require.NoError(t, err)
	assert.Equal(t, []string{first}, s.strays(), "one of each kind")
	got, err := db.GetAttachment(s.ctx, s, ada, db.Photo)
	require.NoError(t, err)
	assert.Equal(t, []any{second, "image/png", int64(3)}, []any{got.File, got.ContentType, got.Size})
	_, err = db.GetAttachment(s.ctx, s, user, db.CV)
	require.ErrorIs(t, err, pg.ErrNotFound)

	of, err := db.CandidateAttachments(s.ctx, s, s.candidate.ID, eva.ID)
	require.NoError(t, err)
	assert.ElementsMatch(t, []db.AttachmentKind{db.Photo, db.CV}, of[s.candidate.ID])
	assert.Len(t, of, 1)
	of, err = db.StaffAttachments(s.ctx, s, s.candidate.ID, eva.ID)
	require.NoError(t, err)
	assert.Equal(t, db.Attachments{eva.ID: {db.Photo}}, of)

	s.tx(func(tx bun.Tx) error { return db.DeleteAttachment(s.ctx, tx, ada, db.CV) })
	assert.ElementsMatch(t, []string{first, cv}, s.strays())
	err = s.try(func(tx bun.Tx) error { return db.DeleteAttachment(s.ctx, tx, ada, db.CV) })
	require.ErrorIs(t, err, pg.ErrNotFound)

	s.tx(func(tx bun.Tx) error { return db.DeleteCandidate(s.ctx, tx, s.candidate.ID) })
	s.tx(func(tx bun.Tx) error { return db.DeleteStaff(s.ctx, tx, eva.ID, "test") })
	assert.ElementsMatch(t, []string{first, cv, second, evas}, s.strays(), "they go with the person")
	for _, gone := range []db.Person{ada, user, db.CandidatePerson(uuid.New())} {
		_, err := s.attach(gone, db.Photo)
		require.ErrorIs(t, err, pg.ErrNotFound)
	}
}

// Of several photos at once one is kept, and none when the candidate is deleted at the same time.
func TestAttachments_at_once(t *testing.T) {
	t.Parallel()
	s := setupSuite(t)
	ada := db.CandidatePerson(s.candidate.ID)
	const n = 8
	var wg sync.WaitGroup
	for range n {
		wg.Go(func() {
			_, err := s.attach(ada, db.Photo)
			assert.NoError(t, err)
		})
	}
	wg.Wait()
	assert.Len(t, s.strays(), n-1)
	for range n {
		wg.Go(func() { _, _ = s.attach(ada, db.Photo) })
	}
	wg.Go(func() {
		assert.NoError(t, s.try(func(tx bun.Tx) error { return db.DeleteCandidate(s.ctx, tx, s.candidate.ID) }))
	})
	wg.Wait()
	var left int
	require.NoError(t, s.NewRaw("SELECT count(*) FROM attachments").Scan(s.ctx, &left))
	assert.Zero(t, left)
}
