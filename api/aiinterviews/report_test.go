package aiinterviews_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"
	"unicode/utf16"

	"github.com/google/uuid"
	"github.com/ledongthuc/pdf"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/api/media"
	"greenroom/db"
	"greenroom/db/pg"
	"greenroom/db/token"
)

const publicURL = "https://greenroom.test"

func TestSharedReport(t *testing.T) {
	t.Parallel()
	b := setup(t)
	i := b.interview(b.invite(nil)["response_id"])
	b.hold(i, `[{"question":"Why <b>?","answer":"Because."}]`)
	b.analyse(i, `{"summary":"Clear","score":8}`)
	o := b.post(path("/report/%d/share", i.Number), `{"expiration_hours":2}`).Is(http.StatusOK)
	link := strings.TrimPrefix(o["signed_url"].(string), publicURL)

	t.Run("a_program_gets_json", func(t *testing.T) {
		r := b.As("", http.MethodGet, link, nil)
		shown := r.Is(http.StatusOK)
		require.Equal(t, "Clear", shown["candidate_summary"])
		require.Equal(t, publicURL+link, shown["report_link"], "the links here need no key")
		require.Equal(t, publicURL+link+"/download", shown["pdf_link"])
		require.Equal(t, "no-store", r.Header.Get("Cache-Control"))
		require.Equal(t, "no-referrer", r.Header.Get("Referrer-Policy"))
	})
	t.Run("a_browser_gets_a_page", func(t *testing.T) {
		r := b.As("", http.MethodGet, link, nil, "Accept", "text/html,*/*")
		require.Equal(t, http.StatusOK, r.Status)
		require.Contains(t, string(r.Body), "Ada King Byron")
		require.Contains(t, string(r.Body), "Why &lt;b&gt;?")
		require.NotContains(t, string(r.Body), "Why <b>")
		require.Contains(t, r.Header.Get("Content-Security-Policy"), "default-src 'none'")
	})
	t.Run("as_pdf", func(t *testing.T) {
		r := b.As("", http.MethodGet, link+"/download", nil)
		require.Equal(t, "application/pdf", r.Header.Get("Content-Type"))
	})
	t.Run("not_with_a_token_that_was_changed", func(t *testing.T) {
		id := i.ID.String()
		later := time.Now().Add(100 * time.Hour)
		for name, bad := range map[string]string{
			"another row":     strings.Replace(link, id, uuid.NewString(), 1),
			"no token":        "/ai-interviews/shared/" + id,
			"an invitation's": "/ai-interviews/shared/" + id + "." + token.For(apitest.Secret, token.Invite, i.ID),
			"a longer time":   strings.Replace(link, "."+strings.Split(link, ".")[1]+".", fmt.Sprintf(".%d.", later.Unix()), 1),
			"a recording's":   "/ai-interviews/shared/" + id + "." + token.Until(apitest.Secret, token.Recording, i.ID, later),
		} {
			r := b.As("", http.MethodGet, bad, nil)
			require.Equal(t, http.StatusNotFound, r.Status, name)
		}
	})
	t.Run("not_any_more_when_it_has_expired", func(t *testing.T) {
		over := "/ai-interviews/shared/" + i.ID.String() + "." + token.Until(
			apitest.Secret,
			token.Report,
			i.ID,
			time.Now().Add(-time.Second),
		)
		b.fails(b.As("", http.MethodGet, over, nil), http.StatusGone, "This link has expired")
	})
	t.Run("not_any_more_when_the_response_was_deleted", func(t *testing.T) {
		b.Tx(func(tx bun.Tx) error { return db.DeleteInterview(b.Ctx, tx, pg.Scope{}, i.ID) })
		require.Equal(t, http.StatusNotFound, b.As("", http.MethodGet, link, nil).Status)
	})
}

// A PDF that a reader of PDFs can read, whatever people have typed.
func TestReportAsPDF(t *testing.T) {
	t.Parallel()
	b := setup(t)
	odd := "Žofia Ďurišová Ελένη Наталья שלום مرحبا 😀 \u0007 \\( ) {pages}"
	i := b.interview(b.invite(object{"candidate_name": odd})["response_id"])
	answer := strings.Repeat("A long answer in which much is said. ", 400)
	b.hold(i, `[`+strings.Repeat(`{"question":"Why?","answer":"`+answer+`"},`, 5)+`{"question":"😀","answer":null}]`)
	b.analyse(
		i,
		`{"summary":"`+strings.Repeat("Clear. ", 100)+`","score":8,"skillWiseScores":{"must_haves":[{"skill_name":"`+
			strings.Repeat("Wort", 40)+`","score":7.5}],"nice_to_haves":"none"}}`,
	)
	r := b.get(path("/report/%d/download", i.Number))
	require.Equal(t, http.StatusOK, r.Status)
	require.Equal(t, `attachment; filename="report-`+fmt.Sprint(i.Number)+`.pdf"`, r.Header.Get("Content-Disposition"))
	require.True(t, bytes.HasPrefix(r.Body, []byte("%PDF-1.")))
	require.True(t, bytes.HasSuffix(bytes.TrimSpace(r.Body), []byte("%%EOF")))
	file, err := pdf.NewReader(bytes.NewReader(r.Body), int64(len(r.Body)))
	require.NoError(t, err)
	first, err := file.Page(1).GetPlainText(nil)
	require.NoError(t, err)
	require.Contains(t, first, "Receptionist")
	require.Contains(t, first, "8 / 10")
	// The library that reads it here knows no more than a byte of each letter; on the page they are in UTF-16.
	page, err := io.ReadAll(file.Page(1).V.Key("Contents").Reader())
	require.NoError(t, err)
	for _, want := range []string{"Žofia", "Ďurišová", "Ελένη", "Наталья", "שלום", "مرح", "□"} {
		var letters []byte
		for _, r := range utf16.Encode([]rune(want)) {
			letters = append(letters, byte(r>>8), byte(r))
		}
		require.True(t, bytes.Contains(page, letters), want)
	}
	require.Greater(t, file.NumPage(), 3)
}

// A candidate or an analyser that submits as much text as a body holds does not let a reader of the shared link occupy
// the processor.
func TestReportAsPDF_is_bounded(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lines := strings.Repeat(`a\n`, 80_000)
	skills := strings.Repeat(`{"skill_name":"Go","score":7},`, 8_000) + `{"skill_name":"C","score":7}`
	for name, tc := range map[string]struct{ answers, analysis string }{
		"conversation": {
			`[` + strings.Repeat(`{"question":"Why?","answer":"`+lines[:6000]+`"},`, 20) + `{"answer":"End."}]`, "",
		},
		"one_answer":      {`[{"question":"Why?","answer":"` + lines + `"}]`, ""},
		"summary":         {`[]`, `{"summary":"` + lines + `"}`},
		"one_line":        {`[]`, `{"summary":"` + strings.Repeat("word ", 48_000) + `"}`},
		"one_word":        {`[]`, `{"summary":"` + strings.Repeat("w", 240_000) + `"}`},
		"recommendation":  {`[]`, `{"recommendation":"` + lines + `"}`},
		"skills":          {`[]`, `{"skillWiseScores":{"must_haves":[` + skills + `]}}`},
		"name_of_a_skill": {`[]`, `{"skillWiseScores":{"must_haves":[{"skill_name":"` + lines + `","score":7}]}}`},
		"groups":          {`[]`, `{"skillWiseScores":{"` + strings.Repeat("g", 200_000) + `":[],"must_haves":[]}}`},
	} {
		t.Run(name, func(t *testing.T) {
			i := b.interview(b.invite(nil)["response_id"])
			b.hold(i, tc.answers)
			if tc.analysis != "" {
				b.analyse(i, tc.analysis)
			}
			r := b.get(path("/report/%d/download", i.Number))
			require.Equal(t, http.StatusOK, r.Status)
			file, err := pdf.NewReader(bytes.NewReader(r.Body), int64(len(r.Body)))
			require.NoError(t, err)
			require.Less(t, file.NumPage(), 210)
		})
	}
}

// Recordings that were uploaded here are streamed to the holder of a link that has not expired.
func TestRecordings(t *testing.T) {
	t.Parallel()
	store := media.NewDir(t.TempDir())
	b := setup(t, func(o *api.Options) { o.AIInterviews.Media = store })
	i := b.interview(b.invite(nil)["response_id"])
	film := "not really a film, but bytes are bytes"
	_, err := store.Put(b.Ctx, "film-1", strings.NewReader(film), 1000)
	require.NoError(t, err)
	video, question := pg.NewID(), pg.NewID()
	b.exec(
		"INSERT INTO questions (id, company_id, job_id, position, text) VALUES (?, ?, ?, 1, 'Why?')",
		question,
		b.Company,
		b.job.ID,
	)
	b.exec(
		`INSERT INTO answer_videos (id, company_id, job_id, candidate_id, question_id, interview_id, file, content_type, size)
		VALUES (?, ?, ?, ?, ?, ?, 'film-1', 'video/webm', ?)`,
		video,
		b.Company,
		b.job.ID,
		i.CandidateID,
		question,
		i.ID,
		len(film),
	)
	recording := func(query string) string {
		urls := b.get(path("/report/%d%s", i.Number, query)).Is(http.StatusOK)["interview_recording"].(object)
		require.Len(t, urls, 1)
		for _, url := range urls {
			return strings.TrimPrefix(url.(string), publicURL)
		}
		return ""
	}
	require.True(t, strings.HasPrefix(recording(""), "/api/v3/companies/"), "with a key")
	link := recording("?is_downloadable=true")
	r := b.As("", http.MethodGet, link, nil)
	require.Equal(t, http.StatusOK, r.Status)
	require.Equal(t, film, string(r.Body))
	require.Equal(t, "video/webm", r.Header.Get("Content-Type"))
	req := httptest.NewRequestWithContext(b.Ctx, http.MethodGet, link, http.NoBody)
	req.Header.Set("Range", "bytes=4-9")
	part := b.Send(req)
	require.Equal(t, http.StatusPartialContent, part.Status)
	require.Equal(t, "really", string(part.Body))
	req = httptest.NewRequestWithContext(b.Ctx, http.MethodGet, link, http.NoBody)
	req.Header.Set("Range", "bytes=900-")
	require.Equal(t, http.StatusRequestedRangeNotSatisfiable, b.Send(req).Status)

	over := "/ai-interviews/recording/" + video.String() + "." + token.Until(
		apitest.Secret,
		token.Recording,
		video,
		time.Now().Add(-time.Second),
	)
	require.Equal(t, http.StatusGone, b.As("", http.MethodGet, over, nil).Status)
	b.exec("UPDATE answer_videos SET deleted_at = now()")
	require.Equal(t, http.StatusNotFound, b.As("", http.MethodGet, link, nil).Status)
}
