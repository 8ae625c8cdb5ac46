package interviewsuite

import (
	"context"
	"errors"
	"net/http"
	"reflect"
	"strconv"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
	"greenroom/db/pg"
)

const answerVideos = "/api/v3/companies/:company/projects/:project/candidates/:candidate/answervideos/"

func (s *server) answerVideoRoutes() []surface.Route {
	const object = answerVideos + ":answervideo/"
	return append([]surface.Route{
		surface.List(answerVideos, "read:candidates", s.listAnswerVideos, "page", "page_size"),
		// Candidates upload without an API key; see uploader.
		surface.Post(answerVideos, surface.Public, s.createAnswerVideo).Streams(),
		surface.Get(object, "read:candidates", s.getAnswerVideo),
		surface.Patch(object, "write:candidates", s.updateAnswerVideo),
		surface.Delete(object, "delete:candidates", s.deleteAnswerVideo),
		surface.Put(object+"file/", "write:candidates", s.replaceAnswerVideo).Streams(),
		surface.Post(object+"file/", "write:candidates", s.replaceAnswerVideo).Streams(),
	}, fileRoutes(object+"file/", "read:candidates", s.streamAnswerVideo)...)
}

// answerVideo is an answer video on the wire. The reference does not describe the resource; the fields follow the
// reference's style and its webhooks.
type answerVideo struct {
	ResourceURI      string `json:"resource_uri"`
	Project          string `json:"project"`
	Candidate        string `json:"candidate"`
	Question         string `json:"question"`
	File             string `json:"file"`
	ContentType      string `json:"content_type"`
	Size             int64  `json:"size"`
	Duration         *int   `json:"duration"`
	CreationDate     string `json:"creationdate"`
	ModificationDate string `json:"modificationdate"`
}

// candidatePath holds the rows that a path down to a candidate names.
type candidatePath struct {
	company   *db.Company
	project   *db.Job
	candidate *db.Candidate
}

func (s *server) candidatePath(c *gin.Context) (p candidatePath, err error) {
	p.company, p.project, p.candidate, err = s.candidate(c)
	return p, err
}

// findBelow finds the candidate's sub-resource that the path's param names by number. name is used in errors, such as
// "Note".
func findBelow[T any](
	s *server,
	c *gin.Context,
	param, name string,
	find func(candidatePath, int64) (*T, error),
) (at candidatePath, row *T, err error) {
	if at, err = s.candidatePath(c); err != nil {
		return at, nil, err
	}
	number, err := surface.PathNumber(c, param, name)
	if err != nil {
		return at, nil, err
	}
	row, err = find(at, number)
	return at, row, err
}

// listBelow answers with one page of the candidate's sub-resources.
func listBelow[Row, Output any](
	s *server,
	c *gin.Context,
	show func(candidatePath, *Row) Output,
	list func(candidatePath, pg.Page) ([]Row, int64, error),
) error {
	at, err := s.candidatePath(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	rows, total, err := list(at, p.Window())
	if err != nil {
		return err
	}
	return okPage(s, c, p, surface.Mapped(rows, func(row *Row) Output { return show(at, row) }), total)
}

func (s *server) showAnswerVideo(p candidatePath, v *db.AnswerVideo) answerVideo {
	uri := s.answerVideoURI(p.company.Number, p.project.Number, p.candidate.Number, v.Number)
	return answerVideo{
		ResourceURI: uri, Project: s.projectURI(p.company.Number, p.project.Number),
		Candidate: s.candidateURI(p.company.Number, p.project.Number, p.candidate.Number),
		Question:  s.questionURI(p.company.Number, p.project.Number, v.QuestionNumber),
		File:      uri + "file/", ContentType: v.ContentType, Size: v.Size, Duration: v.DurationSeconds,
		CreationDate: stamp(v.CreatedAt), ModificationDate: stamp(v.UpdatedAt),
	}
}

func (s *server) listAnswerVideos(c *gin.Context) error {
	return listBelow(s, c, s.showAnswerVideo, func(at candidatePath, w pg.Page) ([]db.AnswerVideo, int64, error) {
		return db.ListAnswerVideos(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, w)
	})
}

// createAnswerVideo accepts an answer from a client with a key or from the candidate during the interview. A second
// answer to a question replaces the first and is answered as an update.
func (s *server) createAnswerVideo(c *gin.Context) error {
	at, interview, err := s.uploader(c)
	if err != nil {
		return err
	}
	if interview != nil {
		end, err := s.uploads.ofCandidate(c.Request.Context(), interview.ID)
		if err != nil {
			return err
		}
		defer end()
	}
	return s.receiveUpload(c, at.company.ID, s.recordingPolicy(), func(u upload) error {
		v := s.newAnswer(at, u)
		if interview != nil {
			v.InterviewID = &interview.ID
		}
		if v.DurationSeconds, err = seconds(u.fields); err != nil {
			return err
		}
		q, err := s.questionOf(c.Request.Context(), at, u.fields["question"])
		if err != nil {
			return err
		}
		v.QuestionID = q.ID
		return s.putAnswer(c, at, v)
	})
}

// uploader returns the candidate that the caller uploads for. With an API key that is any candidate of the company,
// and interview is nil. With an activation key it is the candidate of that interview, which must be in progress.
func (s *server) uploader(c *gin.Context) (at candidatePath, interview *db.Interview, err error) {
	if _, presented := presentsActivation(c); presented {
		return s.ownInterview(c)
	}
	if err := s.Admit(c, "write:candidates"); err != nil {
		return at, nil, err
	}
	at, err = s.candidatePath(c)
	return at, nil, err
}

// ownInterview returns the interview of the request's activation key. The path must name its candidate.
func (s *server) ownInterview(c *gin.Context) (at candidatePath, interview *db.Interview, err error) {
	if interview, err = s.activated(c); err != nil {
		return at, nil, err
	}
	if interview.JobID == nil {
		return at, nil, surface.Denied("interview")
	}
	ctx := c.Request.Context()
	if at.company, err = db.GetCompany(ctx, s.DB, interview.CompanyID); err != nil {
		return at, nil, err
	}
	if at.project, err = db.GetJob(ctx, s.DB, *interview.JobID); err != nil {
		return at, nil, err
	}
	if at.candidate, err = db.GetCandidate(ctx, s.DB, interview.CandidateID); err != nil {
		return at, nil, err
	}
	for name, number := range map[string]int64{
		"company": at.company.Number, "project": at.project.Number, "candidate": at.candidate.Number,
	} {
		if c.Param(name) != strconv.FormatInt(number, 10) {
			return at, nil, surface.Denied("interview")
		}
	}
	if interview.Status != db.InterviewInProgress {
		return at, nil, &pg.StateError{Resource: "interview", State: string(interview.Status)}
	}
	return at, interview, s.limits.upload(ctx, interview.ID)
}

func (s *server) newAnswer(at candidatePath, u upload) *db.AnswerVideo {
	return &db.AnswerVideo{
		CompanyID: at.company.ID, JobID: at.project.ID, CandidateID: at.candidate.ID,
		File: u.file, ContentType: u.contentType, Size: u.size,
	}
}

// seconds parses the form's duration; nil when it is absent.
func seconds(fields map[string]string) (*int, error) {
	raw, sent := fields["duration"]
	if !sent || raw == "" {
		return nil, nil //nolint:nilnil // the duration is optional
	}
	n, err := strconv.Atoi(raw)
	if err != nil || n < 0 || n > 86400 {
		return nil, surface.Invalid("duration", "duration must be a whole number of seconds, at most 86400")
	}
	return &n, nil
}

// questionOf returns the question that a form names by address or id. It must belong to the project.
func (s *server) questionOf(ctx context.Context, at candidatePath, text string) (*db.Question, error) {
	if text == "" {
		return nil, surface.Missing("question")
	}
	number, valid := textReference(text, at.company.Number, "questions")
	return s.questionByReference(ctx, at, number, valid)
}

// questionByReference returns the question of a parsed reference and refuses an invalid reference.
func (s *server) questionByReference(
	ctx context.Context,
	at candidatePath,
	number int64,
	valid bool,
) (*db.Question, error) {
	if !valid {
		return nil, badReference("question")
	}
	q, err := db.QuestionByNumber(ctx, s.DB, at.project.ID, number)
	if errors.Is(err, pg.ErrNotFound) {
		return nil, badReference("question")
	}
	return q, err
}

func (s *server) putAnswer(c *gin.Context, at candidatePath, v *db.AnswerVideo) error {
	status := http.StatusAccepted
	err := pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		created, err := db.PutAnswerVideo(ctx, tx, v)
		if created {
			status = http.StatusCreated
		}
		return err
	})
	if err != nil {
		return err
	}
	return ok(c, status, s.showAnswerVideo(at, v))
}

// answerVideo returns the video that the path's :answervideo names, which must be the candidate's in this project.
func (s *server) answerVideo(c *gin.Context) (candidatePath, *db.AnswerVideo, error) {
	return findBelow(s, c, "answervideo", "Answer video", func(at candidatePath, number int64) (*db.AnswerVideo, error) {
		return db.AnswerVideoByNumber(c.Request.Context(), s.DB, at.project.ID, at.candidate.ID, number)
	})
}

func (s *server) getAnswerVideo(c *gin.Context) error {
	at, v, err := s.answerVideo(c)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showAnswerVideo(at, v))
}

func (s *server) streamAnswerVideo(c *gin.Context) error {
	_, v, err := s.answerVideo(c)
	if err != nil {
		return err
	}
	return s.stream(c, v.File, v.ContentType)
}

type changedAnswerVideo struct {
	Duration surface.Opt[int] `json:"duration" validate:"min=0,max=86400" null:"ok"`
}

func (s *server) updateAnswerVideo(c *gin.Context) error {
	at, v, err := s.answerVideo(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[changedAnswerVideo](c)
	if err != nil {
		return err
	}
	before, u := *v, surface.Update{}
	surface.SetNull(&u, "duration_seconds", &v.DurationSeconds, in.Duration)
	if !reflect.DeepEqual(before, *v) { // without a change there is no event
		err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
			return db.UpdateAnswerVideo(ctx, tx, v, u.Columns...)
		})
		if err != nil {
			return err
		}
	}
	return ok(c, http.StatusAccepted, s.showAnswerVideo(at, v))
}

// replaceAnswerVideo replaces the file of an existing answer.
func (s *server) replaceAnswerVideo(c *gin.Context) error {
	at, old, err := s.answerVideo(c)
	if err != nil {
		return err
	}
	return s.receiveUpload(c, at.company.ID, s.recordingPolicy(), func(u upload) error {
		v := s.newAnswer(at, u)
		v.QuestionID, v.InterviewID = old.QuestionID, old.InterviewID
		if v.DurationSeconds, err = seconds(u.fields); err != nil {
			return err
		}
		return s.putAnswer(c, at, v)
	})
}

func (s *server) deleteAnswerVideo(c *gin.Context) error {
	_, v, err := s.answerVideo(c)
	if err != nil {
		return err
	}
	err = pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) error {
		return db.DeleteAnswerVideo(ctx, tx, v)
	})
	if err != nil {
		return err
	}
	return noContent(c)
}
