package interviewsuite_test

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api/apitest"
	"greenroom/db"
	"greenroom/db/catalog"
)

func TestAnswerVideo_is_uploaded_and_streamed_back(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	data := recording(20 << 20)
	made := s.upload(
		"POST",
		s.inCandidate+"answervideos/",
		data,
		"question",
		fmt.Sprintf("%s%squestions/%d/", apitest.PublicURL, s.inProject, s.question.Number),
		"duration",
		"61",
	).Is(http.StatusCreated)
	assert.Equal(t, "video/webm", made["content_type"])
	assert.EqualValues(t, len(data), made["size"])
	assert.EqualValues(t, 61, made["duration"])
	assert.Equal(t, made, s.Do("GET", pathOf(t, made["resource_uri"]), nil).Is(http.StatusOK))
	assert.Equal(t, []apitest.Object{made}, objects(t, s.Do("GET", s.inCandidate+"answervideos/", nil)))

	file := pathOf(t, made["file"])
	whole := s.Do("GET", file, nil)
	require.Equal(t, http.StatusOK, whole.Status)
	require.True(t, bytes.Equal(data, whole.Body), "the file is streamed back unchanged")
	assert.Equal(t, "video/webm", whole.Header.Get("Content-Type"))
	assert.Equal(t, "nosniff", whole.Header.Get("X-Content-Type-Options"))

	head := s.Do("HEAD", file, nil)
	assert.Equal(t, http.StatusOK, head.Status)
	assert.Equal(t, fmt.Sprint(len(data)), head.Header.Get("Content-Length"))
	assert.Empty(t, head.Body)

	for asked, want := range map[string][]byte{
		"bytes=0-99": data[:100], "bytes=10485760-10485859": data[10485760:10485860], "bytes=-3": data[len(data)-3:],
	} {
		part := s.Do("GET", file, nil, "Range", asked, "If-Range", whole.Header.Get("ETag"))
		require.Equal(t, http.StatusPartialContent, part.Status, asked)
		require.Equal(t, want, part.Body, asked)
	}
	beyond := s.Do("GET", file, nil, "Range", fmt.Sprintf("bytes=%d-", len(data)))
	assert.Equal(
		t,
		apitest.Object{"detail": "The file does not have this range."},
		beyond.Is(http.StatusRequestedRangeNotSatisfiable),
	)
	assert.Equal(t, fmt.Sprintf("bytes */%d", len(data)), beyond.Header.Get("Content-Range"))
	assert.Equal(t, http.StatusNotModified, s.Do("GET", file, nil, "If-None-Match", whole.Header.Get("ETag")).Status)
}

func TestAnswerVideo_replaced_and_deleted(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.interview()
	before := len(s.events())
	first := s.answer(s.question, recording(1000))
	tag := s.Do("GET", pathOf(t, first["file"]), nil).Header.Get("ETag")

	again := s.upload("POST", s.inCandidate+"answervideos/", recording(2000), "question", fmt.Sprint(s.question.Number)).
		Is(http.StatusAccepted)
	assert.Equal(t, first["resource_uri"], again["resource_uri"], "a question has one answer")
	assert.EqualValues(t, 2000, again["size"])
	require.Len(t, s.swept(), 1, "the first file is gone")
	stale := s.Do("GET", pathOf(t, first["file"]), nil, "Range", "bytes=0-9", "If-Range", tag)
	assert.Equal(t, http.StatusOK, stale.Status, "a range of the old file is answered with the whole new file")
	assert.Len(t, stale.Body, 2000)

	for _, method := range []string{"PUT", "POST"} {
		put := s.upload(method, pathOf(t, first["file"]), recording(3000), "duration", "5").Is(http.StatusAccepted)
		assert.EqualValues(t, 3000, put["size"])
		assert.Equal(t, first["question"], put["question"])
	}
	patched := s.Do("PATCH", pathOf(t, first["resource_uri"]), apitest.Object{"duration": 7, "size": 1}).
		Is(http.StatusAccepted)
	assert.EqualValues(t, 7, patched["duration"])
	assert.EqualValues(t, 3000, patched["size"], "read only")
	assert.Equal(t, []string{
		catalog.AnswerVideoCreated, catalog.RecordingCompleted, catalog.AnswerVideoUpdated, catalog.RecordingCompleted,
		catalog.AnswerVideoUpdated, catalog.RecordingCompleted, catalog.AnswerVideoUpdated, catalog.RecordingCompleted,
		catalog.AnswerVideoUpdated,
	}, s.events()[before:])

	assert.Equal(t, http.StatusNoContent, s.Do("DELETE", pathOf(t, first["resource_uri"]), nil).Status)
	assert.Empty(t, s.swept())
	for _, path := range []any{first["resource_uri"], first["file"]} {
		assert.Equal(t, apitest.Object{"detail": "Not found."}, s.Do("GET", pathOf(t, path), nil).Is(http.StatusNotFound))
	}
}

// A deleted candidate's videos are deleted too, whichever product's API deletes the candidate.
func TestAnswerVideo_goes_with_its_candidate(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	made := s.answer(s.question, recording(1000))
	require.Len(t, s.files(), 1)
	req := httptest.NewRequestWithContext(s.Ctx, "DELETE", "/candidates/"+s.candidate.ID.String(), http.NoBody)
	req.Header.Set("Authorization", "Bearer "+s.Key)
	require.Less(t, s.Send(req).Status, 300)
	assert.Empty(t, s.swept())
	assert.Equal(t, http.StatusNotFound, s.Do("GET", pathOf(t, made["file"]), nil).Status)
}

func TestAnswerVideo_refuses(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	number := fmt.Sprint(s.question.Number)
	list := s.inCandidate + "answervideos/"
	other := &db.Job{CompanyID: s.Company, Title: "Other"}
	s.Tx(func(tx bun.Tx) error { return db.CreateJob(s.Ctx, tx, other) })
	foreign := &db.Question{Text: "Of another project"}
	s.Tx(func(tx bun.Tx) error { return db.CreateQuestion(s.Ctx, tx, other, foreign) })
	for name, c := range map[string]struct {
		file   []byte
		fields []string
		status int
		field  string
	}{
		"page_of_html":                {[]byte("<!DOCTYPE html><script>alert(1)</script>"), []string{"question", number}, 400, "file"},
		"picture":                     {[]byte("\x89PNG\r\n\x1a\n0000"), []string{"question", number}, 400, "file"},
		"nothing_in_the_file":         {[]byte{}, []string{"question", number}, 400, "file"},
		"no_file":                     {nil, []string{"question", number}, 400, "file"},
		"no_question":                 {recording(100), nil, 400, "question"},
		"question_of_another_project": {recording(100), []string{"question", fmt.Sprint(foreign.Number)}, 400, "question"},
		"question_that_is_no_address": {recording(100), []string{"question", "why"}, 400, "question"},
		"address_of_something_else":   {recording(100), []string{"question", apitest.PublicURL + s.inCandidate}, 400, "question"},
		"duration_that_is_no_number":  {recording(100), []string{"question", number, "duration", "long"}, 400, "duration"},
		"field_that_is_far_too_long":  {recording(100), []string{"question", strings.Repeat("9", 5000)}, 400, "question"},
		"field_that_is_no_text":       {recording(100), []string{"question", number, "x", "\xff\xfe"}, 400, "detail"},
		"one_byte_too_large":          {recording(maxVideo + 1), []string{"question", number}, 413, "detail"},
		"far_too_large":               {recording(maxVideo + 1<<20), []string{"question", number}, 413, "detail"},
	} {
		t.Run(name, func(t *testing.T) {
			body := s.upload("POST", list, c.file, c.fields...).Is(c.status)
			assert.Contains(t, body, c.field, "%v", body)
			assert.Len(t, body, 1)
		})
	}
	t.Run("body_is_not_a_form", func(t *testing.T) {
		assert.Contains(
			t,
			s.Do("POST", list, apitest.Object{"question": number}).Is(http.StatusUnsupportedMediaType),
			"detail",
		)
	})
	t.Run("two_files", func(t *testing.T) {
		body, contentType := form(t, recording(100), "question", number)
		cut := bytes.LastIndex(body, []byte("--"+boundary(contentType)+"--"))
		two := append(bytes.Clone(body[:cut]), body[bytes.Index(body, []byte("--"+boundary(contentType))):]...)
		req := httptest.NewRequestWithContext(s.Ctx, "POST", list, bytes.NewReader(two))
		req.Header.Set("Content-Type", contentType)
		req.Header.Set("Authorization", "Token "+s.Key)
		assert.Contains(t, s.Send(req).Is(http.StatusBadRequest), "file")
	})
	t.Run("file_of_exactly_the_limit_is_accepted", func(t *testing.T) {
		s.answer(s.question, recording(maxVideo))
	})
	assert.Len(t, s.swept(), 1, "no refused file is kept")
}

func boundary(contentType string) string {
	return strings.TrimPrefix(contentType, "multipart/form-data; boundary=")
}

// An interrupted upload leaves neither an answer nor a file.
func TestAnswerVideo_interrupted_upload_leaves_nothing(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	server := httptest.NewServer(s.Handler)
	t.Cleanup(server.Close)
	body, contentType := form(t, recording(2<<20), "question", fmt.Sprint(s.question.Number))
	conn, err := new(net.Dialer).DialContext(s.Ctx, "tcp", server.Listener.Addr().String())
	require.NoError(t, err)
	defer conn.Close()
	_, err = fmt.Fprintf(conn, "POST %sanswervideos/ HTTP/1.1\r\nHost: greenroom\r\nAuthorization: Token %s\r\n"+
		"Content-Type: %s\r\nContent-Length: %d\r\n\r\n%s",
		s.inCandidate, s.Key, contentType, len(body), body[:1<<20])
	require.NoError(t, err)
	require.NoError(t, conn.(*net.TCPConn).CloseWrite())
	answer, err := io.ReadAll(conn)
	require.NoError(t, err)
	assert.Contains(t, string(answer), " 400 ", "%s", answer)
	assert.Contains(t, string(answer), "could not be read to its end")
	assert.Empty(t, s.swept())
	assert.Empty(t, objects(t, s.Do("GET", s.inCandidate+"answervideos/", nil)))
	var reserved int
	require.NoError(t, s.NewRaw("SELECT count(*) FROM stray_files").Scan(s.Ctx, &reserved))
	assert.Zero(t, reserved, "no reservation is left")
}

// The server's time limits suit small bodies; an upload over a slow connection takes longer.
func TestAnswerVideo_outlives_the_servers_time_limit(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	server := httptest.NewUnstartedServer(s.Handler)
	const limit = 200 * time.Millisecond
	server.Config.ReadTimeout, server.Config.WriteTimeout = limit, limit
	server.Start()
	t.Cleanup(server.Close)
	body, contentType := form(t, recording(1<<20), "question", fmt.Sprint(s.question.Number))
	slow := io.MultiReader(bytes.NewReader(body[:1000]), waiting(3*limit), bytes.NewReader(body[1000:]))
	req, err := http.NewRequestWithContext(s.Ctx, "POST", server.URL+s.inCandidate+"answervideos/", slow)
	require.NoError(t, err)
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", "Token "+s.Key)
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	assert.Equal(t, http.StatusCreated, res.StatusCode)
}

// waiting is a reader that blocks for a while and then ends.
type waiting time.Duration

func (w waiting) Read([]byte) (int, error) {
	<-time.After(time.Duration(w))
	return 0, io.EOF
}

func TestAnswerVideo_of_the_candidate(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	interview := s.interview()
	key, _ := s.Do("GET", s.inCandidate, nil).Is(http.StatusOK)["interview_key"].(string)
	require.Len(t, key, 32)
	own, list, number := "ActivationKey "+key, s.inCandidate+"answervideos/", fmt.Sprint(s.question.Number)

	made := s.uploadAs(own, "POST", list, recording(1000), "question", number).Is(http.StatusCreated)
	s.uploadAs(own, "POST", list, recording(1500), "question", number).Is(http.StatusAccepted)
	v, err := db.AnswerVideoByNumber(s.Ctx, s, s.project.ID, s.candidate.ID, 1)
	require.NoError(t, err)
	assert.Equal(t, interview.ID, *v.InterviewID)

	elsewhere := fmt.Sprintf("%scandidates/%d/answervideos/", s.inProject, s.apply("Eve").Number)
	s.uploadAs(own, "POST", elsewhere, recording(100), "question", number).Is(http.StatusForbidden)
	s.uploadAs("ActivationKey "+strings.Repeat("0", 32), "POST", list, recording(100), "question", number).
		Is(http.StatusUnauthorized)
	s.uploadAs("", "POST", list, recording(100), "question", number).Is(http.StatusUnauthorized)
	read := httptest.NewRequestWithContext(s.Ctx, "GET", pathOf(t, made["file"]), http.NoBody)
	read.Header.Set("Authorization", own)
	s.Send(read).Is(http.StatusUnauthorized)

	s.Tx(func(tx bun.Tx) error { _, err := db.FinishInterview(s.Ctx, tx, interview.ID, db.Finish{}); return err })
	s.uploadAs(own, "POST", list, recording(100), "question", number).Is(http.StatusConflict)
	assert.Len(t, s.swept(), 1)
}

// An activation key has no API key's rate limit, so uploads have their own.
func TestAnswerVideo_of_the_candidate_is_limited(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.interview()
	key := s.Do("GET", s.inCandidate, nil).Is(http.StatusOK)["interview_key"].(string)
	for range 60 {
		s.uploadAs("ActivationKey "+key, "POST", s.inCandidate+"answervideos/", nil).Is(http.StatusBadRequest)
	}
	r := s.uploadAs(
		"ActivationKey "+key,
		"POST",
		s.inCandidate+"answervideos/",
		recording(100),
		"question",
		fmt.Sprint(s.question.Number),
	)
	r.Is(http.StatusTooManyRequests)
	require.NotEmpty(t, r.Header.Get("Retry-After"))
	assert.Empty(t, s.swept())
	s.answer(s.question, recording(100))
}

func TestAnswerVideo_scopes(t *testing.T) {
	t.Parallel()
	s := newStudio(t)
	s.answer(s.question, recording(100))
	reader := s.token("reader", db.HiringManager)
	s.uploadAs("Token "+reader, "POST", s.inCandidate+"answervideos/", recording(100), "question", "1").
		Is(http.StatusForbidden)
	require.Len(t, objects(t, s.As(reader, "GET", s.inCandidate+"answervideos/", nil)), 1)
}
