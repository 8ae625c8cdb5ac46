package interviewsuite_test

import (
	"bytes"
	"fmt"
	"net/http"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"greenroom/api/apitest"
	"greenroom/db"
)

// picture and resume are minimal valid files.
var (
	picture = append([]byte("\x89PNG\r\n\x1a\n"), apitest.Marker...)
	resume  = []byte("%PDF-1.7\n" + apitest.Marker)
)

// TestReferenceFiles covers photo and cv of reference 2.5, and photo of 2.6.
func TestReferenceFiles(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	customers := fmt.Sprintf("/api/v3/companies/%d/customers/", s.company.Number)
	eva := s.Do("POST", customers, object{"username": "eva"}).Is(http.StatusCreated)
	for _, c := range []struct {
		field, person string
		none          any
		file          []byte
		contentType   string
		wrong         []byte
	}{
		{"photo", s.inCandidate, "", picture, "image/png", resume},
		{"cv", s.inCandidate, nil, resume, "application/pdf", picture},
		{"photo", pathOf(t, eva["resource_uri"]), "", picture, "image/png", []byte("<svg/>")},
	} {
		at := c.person + c.field + "/"
		s.Do("GET", at, nil).Is(http.StatusNotFound)
		require.Equal(t, c.none, s.Do("GET", c.person, nil).Is(http.StatusOK)[c.field])

		shown := s.upload("POST", at, c.file).Is(http.StatusAccepted)
		require.Equal(t, apitest.PublicURL+at, shown[c.field], "a reference")
		require.Equal(t, shown[c.field], s.Do("GET", c.person, nil).Is(http.StatusOK)[c.field])
		got := s.Do("GET", at, nil, "Range", "bytes=1-3")
		require.Equal(t, http.StatusPartialContent, got.Status)
		require.Equal(t, []string{c.contentType}, got.Header["Content-Type"], "sniffed")
		require.Equal(t, c.file[1:4], got.Body)
		require.Equal(t, http.StatusOK, s.Do("HEAD", at, nil).Status)

		another := append(bytes.Clone(c.file), 'x')
		s.upload("PUT", at, another).Is(http.StatusAccepted)
		require.Equal(t, another, s.Do("GET", at, nil).Body)

		refusedField(s.upload("PUT", at, c.wrong), "file")
		refusedField(s.upload("PUT", at, nil), "file", "This field is required.")
		s.upload("PUT", at, append(bytes.Clone(c.file), make([]byte, 20<<20)...)).Is(http.StatusRequestEntityTooLarge)
		require.Equal(t, another, s.Do("GET", at, nil).Body, "a refused upload changes nothing")

		require.Equal(t, http.StatusNoContent, s.Do("DELETE", at, nil).Status)
		s.Do("DELETE", at, nil).Is(http.StatusNotFound)
		require.Equal(t, c.none, s.Do("GET", c.person, nil).Is(http.StatusOK)[c.field])
	}
	assert.Empty(t, s.swept())
}

func TestFiles_of_a_candidate(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.interview()
	before := len(s.events())
	c := s.upload("PUT", s.inCandidate+"photo/", picture).Is(http.StatusAccepted)
	require.Equal(t, []string{"candidate.updated"}, s.events()[before:], "an uploaded file is a change of the candidate")
	me := s.As("", "GET", whoAmI, nil, "Authorization", "ActivationKey "+c["interview_key"].(string)).Is(http.StatusOK)
	require.Equal(t, c["photo"], me["photo"])

	reader := s.token("reader", db.HiringManager)
	require.Equal(t, picture, s.As(reader, "GET", s.inCandidate+"photo/", nil).Body)
	s.uploadAs("Token "+reader, "PUT", s.inCandidate+"photo/", picture).Is(http.StatusForbidden)
	s.As(reader, "DELETE", s.inCandidate+"photo/", nil).Is(http.StatusForbidden)

	require.Equal(t, http.StatusNoContent, s.Do("DELETE", s.inCandidate, nil).Status)
	assert.Empty(t, s.swept(), "the file is deleted with the candidate")
}

// Only a caller who may change the user may change the user's photo.
func TestFiles_of_a_user(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	customers := fmt.Sprintf("/api/v3/companies/%d/customers/", s.company.Number)
	owner := s.Do("POST", customers, object{"username": "owner", "account_type": "owner"}).Is(http.StatusCreated)
	at := pathOf(t, owner["resource_uri"]) + "photo/"
	recruiter := s.token("recruiter", db.Recruiter)
	s.uploadAs("Token "+recruiter, "PUT", at, picture).Is(http.StatusForbidden)
	s.upload("PUT", at, picture).Is(http.StatusAccepted)
	s.As(recruiter, "DELETE", at, nil).Is(http.StatusForbidden)
	require.Equal(t, http.StatusNoContent, s.Do("DELETE", pathOf(t, owner["resource_uri"]), nil).Status)
	assert.Empty(t, s.swept(), "the file is deleted with the user")
}
