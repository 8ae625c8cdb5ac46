package interviewsuite_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"mime/multipart"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api"
	"greenroom/api/apitest"
	"greenroom/api/interviewsuite"
	"greenroom/api/media"
	"greenroom/db"
	"greenroom/db/pg"
)

// maxVideo is the largest file that a studio accepts, in bytes.
const maxVideo = 21 << 20

// studio is a project with a question and a candidate, and a media store.
type studio struct {
	*apitest.Bundle
	dir       string
	sweeper   *media.Sweeper
	company   *db.Company
	project   *db.Job
	question  *db.Question
	candidate *db.Candidate
	// paths of the project and the candidate
	inProject, inCandidate string
}

func newStudio(t *testing.T, change ...func(*api.Options)) *studio {
	t.Helper()
	s := &studio{dir: t.TempDir()}
	store := media.NewDir(s.dir)
	s.Bundle = apitest.Setup(t, func(o *api.Options) {
		o.InterviewSuite.Videos = interviewsuite.Videos{Store: store, MaxBytes: maxVideo}
		for _, c := range change {
			c(o)
		}
	})
	s.sweeper = &media.Sweeper{DB: s.DB, Store: store}
	var err error
	s.company, err = db.GetCompany(s.Ctx, s, s.Company)
	require.NoError(t, err)
	s.project = &db.Job{CompanyID: s.Company, Title: "Engineer " + apitest.Marker}
	s.Tx(func(tx bun.Tx) error { return db.CreateJob(s.Ctx, tx, s.project) })
	s.question = s.ask("Why? " + apitest.Marker)
	s.candidate = s.apply("Ada")
	s.inProject = fmt.Sprintf("/api/v3/companies/%d/projects/%d/", s.company.Number, s.project.Number)
	s.inCandidate = fmt.Sprintf("%scandidates/%d/", s.inProject, s.candidate.Number)
	return s
}

func (s *studio) ask(text string) *db.Question {
	s.T.Helper()
	q := &db.Question{Text: text}
	s.Tx(func(tx bun.Tx) error { return db.CreateQuestion(s.Ctx, tx, s.project, q) })
	return q
}

func (s *studio) apply(name string) *db.Candidate {
	s.T.Helper()
	c := &db.Candidate{CompanyID: s.Company, FirstName: name, LastName: apitest.Marker, JobIDs: []uuid.UUID{s.project.ID}}
	s.Tx(func(tx bun.Tx) error { return db.CreateCandidate(s.Ctx, tx, c, false) })
	return c
}

// interview creates an interview of the candidate in the project, in progress.
func (s *studio) interview() *db.Interview {
	s.T.Helper()
	i := &db.Interview{
		ID: pg.NewID(), CompanyID: s.Company, CandidateID: s.candidate.ID, JobID: &s.project.ID, Type: db.Online,
		ScheduledAt: s.candidate.CreatedAt, MaxMinutes: 60, Metadata: json.RawMessage("{}"),
	}
	s.Tx(func(tx bun.Tx) error {
		agent, err := db.EnsureJobAgent(s.Ctx, tx, s.project)
		if err != nil {
			return err
		}
		i.AgentID = agent.ID
		if err := db.CreateInterview(s.Ctx, tx, i); err != nil {
			return err
		}
		_, err = db.StartInterview(s.Ctx, tx, i.ID)
		return err
	})
	return i
}

// token creates a staff user and returns a token of theirs.
func (s *studio) token(username string, kind db.AccountType) string {
	s.T.Helper()
	user := &db.Staff{CompanyID: s.Company, Username: username, AccountType: kind, IsActive: true}
	require.NoError(s.T, db.CreateStaff(s.Ctx, s, user))
	var plain string
	s.Tx(func(tx bun.Tx) (err error) {
		plain, err = db.CreateToken(s.Ctx, tx, db.TokenRequest{
			Staff: user.ID, Secret: apitest.Secret, IdleDays: 1, RatePerMinute: 100_000, RatePerHour: 1_000_000, Actor: "test",
		})
		return err
	})
	return plain
}

// recording returns a file as browsers record it, of n bytes or slightly more.
func recording(n int) []byte {
	const head = "\x1a\x45\xdf\xa3\x9f\x42\x86\x81\x01\x42\xf7\x81\x01\x42\xf2\x81\x04\x42\xf3\x81\x08" +
		"\x42\x82\x84webm\x42\x87\x81\x04\x42\x85\x81\x02"
	file := []byte(head)
	rest := make([]byte, max(0, n-len(file)))
	_, _ = rand.NewChaCha8([32]byte{1}).Read(rest)
	return append(file, rest...)
}

// form returns a multipart body. fields alternates names and values; the file comes last, as browsers send it.
func form(t *testing.T, file []byte, fields ...string) (body []byte, contentType string) {
	t.Helper()
	var out bytes.Buffer
	w := multipart.NewWriter(&out)
	for i := 0; i+1 < len(fields); i += 2 {
		require.NoError(t, w.WriteField(fields[i], fields[i+1]))
	}
	if file != nil {
		part, err := w.CreateFormFile("file", "answer.webm")
		require.NoError(t, err)
		_, err = part.Write(file)
		require.NoError(t, err)
	}
	require.NoError(t, w.Close())
	return out.Bytes(), w.FormDataContentType()
}

// upload sends a form with the company's key.
func (s *studio) upload(method, path string, file []byte, fields ...string) apitest.Response {
	s.T.Helper()
	return s.uploadAs("Token "+s.Key, method, path, file, fields...)
}

func (s *studio) uploadAs(authorization, method, path string, file []byte, fields ...string) apitest.Response {
	s.T.Helper()
	body, contentType := form(s.T, file, fields...)
	req := httptest.NewRequestWithContext(s.Ctx, method, path, bytes.NewReader(body))
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Authorization", authorization)
	return s.Send(req)
}

// answer uploads an answer to a question.
func (s *studio) answer(q *db.Question, file []byte) apitest.Object {
	s.T.Helper()
	return s.upload("POST", s.inCandidate+"answervideos/", file, "question", fmt.Sprint(q.Number)).Is(http.StatusCreated)
}

// pathOf returns an address without its host.
func pathOf(t *testing.T, address any) string {
	t.Helper()
	path, found := strings.CutPrefix(address.(string), apitest.PublicURL)
	require.True(t, found, "%v", address)
	return path
}

// files lists the files in the store, complete or partial.
func (s *studio) files() []string {
	s.T.Helper()
	entries, err := os.ReadDir(s.dir)
	require.NoError(s.T, err)
	names := []string{}
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names
}

// swept runs the sweeper and returns the files that are left.
func (s *studio) swept() []string {
	s.T.Helper()
	_, err := s.sweeper.Sweep(s.Ctx)
	require.NoError(s.T, err)
	return s.files()
}

// events returns the types of the company's events.
func (s *studio) events() []string {
	s.T.Helper()
	types := []string{}
	require.NoError(
		s.T,
		s.NewRaw("SELECT type FROM events WHERE company_id = ? ORDER BY occurred_at, id", s.Company).Scan(s.Ctx, &types),
	)
	return types
}

func objects(t *testing.T, r apitest.Response) []apitest.Object {
	t.Helper()
	var list struct {
		Meta struct {
			TotalCount int `json:"total_count"`
		}
		Objects []apitest.Object
	}
	r.Into(http.StatusOK, &list)
	require.Len(t, list.Objects, list.Meta.TotalCount)
	return list.Objects
}
