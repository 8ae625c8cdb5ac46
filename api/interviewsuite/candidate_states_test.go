package interviewsuite_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
	"greenroom/api/apitest"
)

// TestCandidate_phone: the surface shows the number as the client wrote it, unless another surface has changed it.
func TestCandidate_phone(t *testing.T) {
	b := setup(t)
	c := b.path(b.candidate(b.project()))
	stored := func() (number *string) {
		require.NoError(t, b.NewRaw("SELECT phone_number FROM candidates WHERE number = ?", last(c)).Scan(b.Ctx, &number))
		return number
	}
	for written, e164 := range map[string]string{
		"00421 900 123 456":  "+421900123456",
		"+421/900.123-456":   "+421900123456",
		"(+421) 900123456":   "+421900123456",
		"0900 123 456":       "",
		"+0421900123456":     "",
		"+42190":             "",
		"+4219001234567890":  "",
		"+421 900 123 x":     "",
		"extension 7":        "",
		"":                   "",
		"00 421 900 123 456": "+421900123456",
	} {
		shown := b.Do("PATCH", c, object{"phone": written}).Is(http.StatusAccepted)
		require.Equal(t, written, shown["phone"])
		number := stored()
		if e164 == "" {
			require.Nil(t, number, written)
			continue
		}
		require.Equal(t, e164, *number, written)
	}
	b.Do("PATCH", c, object{"phone": "00421 900 123 456"}).Is(http.StatusAccepted)
	for column, shown := range map[string]string{"'+421900999999'": "+421900999999", "NULL": ""} {
		_, err := b.ExecContext(b.Ctx, "UPDATE candidates SET phone_number = "+column+" WHERE number = ?", last(c))
		require.NoError(t, err)
		require.Equal(t, shown, b.Do("GET", c, nil).Is(http.StatusOK)["phone"], "as another surface left it")
	}
}

func TestCandidate_of_an_expired_invitation(t *testing.T) {
	b := setup(t)
	c := b.candidate(b.project())
	_, err := b.ExecContext(b.Ctx, "UPDATE interviews SET status = 'FAILED', status_reason = 'INVITATION_EXPIRED' "+
		"WHERE id = ?", b.interview(c).ID)
	require.NoError(t, err)
	require.Equal(t, "expired", b.Do("GET", b.path(c), nil).Is(http.StatusOK)["status"])
}

func TestCandidate_names_the_user_who_created_it(t *testing.T) {
	b := setup(t)
	p := b.project()
	b.user("eva", "recruiter")
	made := b.As(b.logIn("eva"), "POST", b.path(p)+"candidates/", ada()).Is(http.StatusCreated)
	require.Equal(t, "eva", made["created_by"])
	require.Empty(t, b.candidate(p, object{"email": "b@example.test"})["created_by"], "a key is no user")
	changed := b.Do("PATCH", b.path(made), object{"created_by": "max"}).Is(http.StatusAccepted)
	require.Equal(t, "eva", changed["created_by"], "read only")
}

// TestActivationKey_after_its_project_was_deleted: the interview continues, so the candidate still sees it, but the
// addresses below the project are gone.
func TestActivationKey_after_its_project_was_deleted(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.interview()
	own := "ActivationKey " + s.Do("GET", s.inCandidate, nil).Is(http.StatusOK)["interview_key"].(string)
	require.Equal(t, http.StatusNoContent, s.Do("DELETE", s.inProject, nil).Status)

	me := s.As("", "GET", whoAmI, nil, "Authorization", own).Is(http.StatusOK)

	require.Nil(t, me["project"])
	require.Empty(t, me["resource_uri"])
	require.Equal(t, "Ada", me["first_name"])
	s.uploadAs(own, "POST", s.inCandidate+"answervideos/", recording(100), "question", fmt.Sprint(s.question.Number)).
		Is(http.StatusNotFound)
	require.Empty(t, s.swept())
}

func TestActivationKey_is_case_insensitive(t *testing.T) {
	b := setup(t)
	key := b.candidate(b.project())["interview_key"].(string)
	r := b.As("", "GET", whoAmI, nil, "Authorization", "activationkey  "+strings.ToUpper(key))
	require.Equal(t, key, r.Is(http.StatusOK)["activation_key"])
}

// TestFiles_without_a_store: a server without a directory or a bucket refuses uploads and has no files.
func TestFiles_without_a_store(t *testing.T) {
	b := setup(t)
	c := b.path(b.candidate(b.project()))
	s := &studio{Bundle: b.Bundle}
	for _, path := range []string{b.at + "videos/", c + "photo/", c + "cv/"} {
		r := s.upload("POST", path, picture)
		refused(r, http.StatusServiceUnavailable, "This server does not accept files.")
		require.NotEmpty(t, r.Header.Get("Retry-After"))
	}
	refused(b.Do("GET", c+"photo/", nil), http.StatusNotFound, notFound)
	n, err := b.NewSelect().Table("welcome_videos").Count(b.Ctx)
	require.NoError(t, err)
	require.Zero(t, n)
}

// TestAnswerVideo_replacement_is_checked: a refused file leaves the answer and its stored file as they are.
func TestAnswerVideo_replacement_is_checked(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	made := s.answer(s.question, recording(300))
	file := pathOf(t, made["file"])
	for field, tt := range map[string]struct {
		file   []byte
		fields []string
	}{
		"duration": {recording(100), []string{"duration", "86401"}},
		"file":     {picture, nil},
	} {
		refusedField(s.upload("PUT", file, tt.file, tt.fields...), field)
	}
	require.Equal(t, made, s.Do("GET", pathOf(t, made["resource_uri"]), nil).Is(http.StatusOK))
	require.Len(t, s.Do("GET", file, nil).Body, 300)
	require.Len(t, s.swept(), 1)
	changed := s.upload("PUT", file, recording(200), "duration", "86400").Is(http.StatusAccepted)
	require.EqualValues(t, 86400, changed["duration"])
	require.Equal(t, apitest.PublicURL+file, changed["file"], "the same address")
}

// TestRotationOfTheSecret_activation_keys_and_tokens: they are accepted until the old value is dropped. A token that is
// used meanwhile is hashed again.
func TestRotationOfTheSecret_activation_keys_and_tokens(t *testing.T) {
	var o api.Options
	b := setup(t, func(of *api.Options) { o = *of })
	b.user("eva", "owner")
	key := b.candidate(b.project())["interview_key"].(string)
	used, idle := b.logIn("eva"), b.logIn("eva")
	at := func(secret, next, previous []byte) *apitest.Bundle {
		o := o
		o.Metrics = nil // a registry of its own
		o.Secret, o.NextSecret, o.PreviousSecret = secret, next, previous
		h, err := api.New(o)
		require.NoError(t, err)
		inner := *b.Bundle
		inner.Handler = h
		return &inner
	}
	next := []byte("another secret of the tests")
	added, promoted, dropped := at(apitest.Secret, next, nil), at(next, nil, apitest.Secret), at(next, nil, nil)
	activates := func(b *apitest.Bundle, key string) bool {
		return b.As("", "GET", whoAmI, nil, "Authorization", "ActivationKey "+key).Status == http.StatusOK
	}
	logsIn := func(p *apitest.Bundle, token string) int { return p.As(token, "GET", b.at, nil).Status }
	require.True(t, activates(added, key))
	require.True(t, activates(promoted, key))
	require.False(t, activates(dropped, key))
	shown := promoted.As("", "GET", whoAmI, nil, "Authorization", "ActivationKey "+key).Is(http.StatusOK)
	newer := shown["activation_key"].(string)
	require.NotEqual(t, key, newer)
	require.True(t, activates(added, newer))
	require.True(t, activates(dropped, newer))
	require.False(t, activates(b.Bundle, newer))

	require.Equal(t, http.StatusUnauthorized, logsIn(dropped, used))
	require.Equal(t, http.StatusOK, logsIn(promoted, used))
	require.Equal(t, http.StatusOK, logsIn(added, used))
	require.Equal(t, http.StatusOK, logsIn(dropped, used))
	require.Equal(t, http.StatusUnauthorized, logsIn(dropped, idle))
}
