package db

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// Result is a candidate's result for a job: averages of the ratings that are not ignored, and their parts.
type Result struct {
	CandidateID     uuid.UUID
	CandidateNumber int64
	// Overall is nil without a rating that counts.
	Overall   *float64
	Questions []QuestionAverage  `bun:"-"`
	Criteria  []CriterionAverage `bun:"-"`
	Ratings   []Rating           `bun:"-"`
	Notes     []Note             `bun:"-"`
	Vetos     []Veto             `bun:"-"`
}

// QuestionAverage is the mean of a question's ratings.
type QuestionAverage struct {
	CandidateID    uuid.UUID
	QuestionNumber int64
	Average        float64
}

// CriterionAverage is the mean of the ratings by a criterion.
type CriterionAverage struct {
	CandidateID uuid.UUID
	Criterion   string
	Average     float64
}

// evaluated selects the candidates of job ?0 who finished an interview and have a rating, a veto or a note that reader
// ?1 sees.
const evaluated = `FROM candidate_jobs cj JOIN candidates c ON c.id = cj.candidate_id AND c.deleted_at IS NULL
	WHERE cj.job_id = ?0
	AND EXISTS (SELECT 1 FROM interviews i WHERE i.candidate_id = c.id AND i.job_id = ?0 AND i.status = 'COMPLETED' AND
	i.deleted_at IS NULL)
	AND (EXISTS (SELECT 1 FROM ratings r WHERE r.candidate_id = c.id AND r.job_id = ?0 AND r.deleted_at IS NULL)
		OR EXISTS (SELECT 1 FROM notes n WHERE n.candidate_id = c.id AND n.job_id = ?0 AND n.deleted_at IS NULL
			AND (n.shared OR n.staff_id IS NOT DISTINCT FROM ?1))
		OR EXISTS (SELECT 1 FROM vetos v WHERE v.candidate_id = c.id AND v.job_id = ?0 AND v.deleted_at IS NULL))`

const resultColumns = `SELECT c.id AS candidate_id, c.number AS candidate_number, (SELECT avg(r.value) FROM ratings r
	WHERE r.candidate_id = c.id AND r.job_id = ?0 AND r.deleted_at IS NULL AND NOT r.ignored) AS overall `

// ListResults returns one page of a job's results as the reader sees them, newest candidates first, and the total.
func ListResults(ctx context.Context, db bun.IDB, job uuid.UUID, reader Reader, p pg.Page) ([]Result, int64, error) {
	rs := []Result{}
	err := db.NewRaw(resultColumns+evaluated+" ORDER BY c.id DESC LIMIT ?2 OFFSET "+
		"?3", job, reader.Staff, p.Limit, p.Offset).
		Scan(ctx, &rs)
	if err != nil {
		return nil, 0, fmt.Errorf("list results: %w", err)
	}
	var total int64
	if err := db.NewRaw("SELECT count(*) "+evaluated, job, reader.Staff).Scan(ctx, &total); err != nil {
		return nil, 0, fmt.Errorf("count results: %w", err)
	}
	return rs, total, fillResults(ctx, db, job, reader, rs)
}

// ResultByNumber returns the result of one candidate of a job, by the candidate's number.
func ResultByNumber(ctx context.Context, db bun.IDB, job uuid.UUID, reader Reader, candidate int64) (*Result, error) {
	rs := make([]Result, 1)
	err := db.NewRaw(resultColumns+evaluated+" AND c.number = ?2", job, reader.Staff, candidate).Scan(ctx, &rs[0])
	if err != nil {
		return nil, fmt.Errorf("get result: %w", pg.Translate(err))
	}
	return &rs[0], fillResults(ctx, db, job, reader, rs)
}

// fillResults reads the parts of all results in five statements.
func fillResults(ctx context.Context, db bun.IDB, job uuid.UUID, reader Reader, rs []Result) error {
	byID := make(map[uuid.UUID]*Result, len(rs))
	ids := make([]uuid.UUID, len(rs))
	for i := range rs {
		byID[rs[i].CandidateID], ids[i] = &rs[i], rs[i].CandidateID
	}
	if len(ids) == 0 {
		return nil
	}
	if err := fillAverages(ctx, db, job, ids, byID); err != nil {
		return err
	}
	var ratings []Rating
	err := db.NewSelect().Model(&ratings).ColumnExpr("r.*").ColumnExpr(ratingNumbers).
		Where("r.candidate_id IN (?) AND r.job_id = ? AND r.deleted_at IS NULL", bun.List(ids), job).Order("r.id").Scan(ctx)
	if err != nil {
		return fmt.Errorf("list results' ratings: %w", err)
	}
	for _, r := range ratings {
		byID[r.CandidateID].Ratings = append(byID[r.CandidateID].Ratings, r)
	}
	var notes []Note
	err = db.NewSelect().Model(&notes).ColumnExpr("n.*").ColumnExpr(noteNumbers).Where(mayRead, reader.Staff).
		Where("n.candidate_id IN (?) AND n.job_id = ?", bun.List(ids), job).Order("n.id").Scan(ctx)
	if err != nil {
		return fmt.Errorf("list results' notes: %w", err)
	}
	for _, n := range notes {
		byID[n.CandidateID].Notes = append(byID[n.CandidateID].Notes, n)
	}
	vetos, err := vetosOf(ctx, db, job, ids)
	for _, v := range vetos {
		byID[v.CandidateID].Vetos = append(byID[v.CandidateID].Vetos, v)
	}
	return err
}

func fillAverages(ctx context.Context, db bun.IDB, job uuid.UUID, ids []uuid.UUID, byID map[uuid.UUID]*Result) error {
	const counted = "r.candidate_id IN (?) AND r.job_id = ? AND r.deleted_at IS NULL AND NOT r.ignored"
	var questions []QuestionAverage
	err := db.NewRaw(`SELECT r.candidate_id, q.number AS question_number, avg(r.value) AS average
		FROM ratings r JOIN questions q ON q.id = r.question_id
		WHERE `+counted+` GROUP BY r.candidate_id, q.id, q.number, q.position ORDER BY q.position,
		q.id`, bun.List(ids), job).Scan(ctx, &questions)
	if err != nil {
		return fmt.Errorf("average by question: %w", err)
	}
	for _, q := range questions {
		byID[q.CandidateID].Questions = append(byID[q.CandidateID].Questions, q)
	}
	var criteria []CriterionAverage
	err = db.NewRaw(`SELECT r.candidate_id, r.criterion, avg(r.value) AS average FROM ratings r
		WHERE `+counted+` AND r.criterion IS NOT NULL GROUP BY r.candidate_id, r.criterion ORDER BY
		r.criterion`, bun.List(ids), job).
		Scan(ctx, &criteria)
	if err != nil {
		return fmt.Errorf("average by criterion: %w", err)
	}
	for _, c := range criteria {
		byID[c.CandidateID].Criteria = append(byID[c.CandidateID].Criteria, c)
	}
	return nil
}
