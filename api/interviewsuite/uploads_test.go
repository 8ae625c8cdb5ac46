package interviewsuite_test

import (
	"fmt"
	"math"
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/media"
	"greenroom/db"
)

func TestUploads_have_a_quota(t *testing.T) {
	t.Parallel()
	s := newStudio(t, func(o *api.Options) { o.Quota.MediaBytes = 1 << 20 })
	put := func(path string, kib int) int {
		return s.upload("PUT", path, recording(kib<<10), "question", fmt.Sprint(s.question.Number)).Status
	}
	answer := pathOf(t, s.answer(s.question, recording(600<<10))["file"])
	welcome := fmt.Sprintf("/api/v3/companies/%d/videos/", s.company.Number)
	refused := s.upload("POST", welcome, recording(600<<10))
	require.Equal(t, "This company has the maximum of 1048576 bytes of files.", refused.Is(http.StatusConflict)["detail"])
	require.Equal(t, http.StatusCreated, s.upload("POST", welcome, recording(100<<10)).Status)
	require.Equal(t, http.StatusConflict, put(answer, 500), "a replaced file counts until it is replaced")
	require.Equal(t, http.StatusConflict, s.upload("PUT", s.inCandidate+"photo/", photo(400<<10)).Status)
	require.Equal(t, http.StatusAccepted, s.upload("PUT", s.inCandidate+"photo/", photo(100<<10)).Status)
	used, err := db.MediaBytes(s.Ctx, s, s.Company)
	require.NoError(t, err)
	require.InDelta(t, 800<<10, used, 1<<10)
	require.Len(t, s.swept(), 3, "nothing is left of the refused ones")
}

// photo returns a PNG of n bytes, as far as its kind is checked.
func photo(n int) []byte { return append([]byte("\x89PNG\r\n\x1a\n"), make([]byte, n)...) }

func TestUploads_leave_space_on_the_disk(t *testing.T) {
	t.Parallel()
	s := newStudio(t, func(o *api.Options) {
		o.InterviewSuite.Videos.Store = media.NewDir(t.TempDir()).LeaveFree(math.MaxInt64)
	})
	path := s.inCandidate + "answervideos/"
	r := s.upload("POST", path, recording(10), "question", fmt.Sprint(s.question.Number))
	require.Equal(t, "The store of files is full.", r.Is(http.StatusServiceUnavailable)["detail"])
	require.NotEmpty(t, r.Header.Get("Retry-After"))
}
