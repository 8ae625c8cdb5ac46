package interviewsuite

import (
	"net/http"

	"github.com/gin-gonic/gin"

	"greenroom/api/surface"
	"greenroom/db"
)

func (s *server) resultRoutes() []surface.Route {
	const list = "/api/v3/companies/:company/projects/:project/results/"
	return []surface.Route{
		surface.List(list, "read:candidates", s.listResults, "page", "page_size"),
		surface.Get(list+":result/", "read:candidates", s.getResult),
	}
}

// result is the evaluation of a candidate (reference 2.7) and has the candidate's id.
type result struct {
	ResourceURI     string            `json:"resource_uri"`
	Candidate       string            `json:"candidate"`
	OverallRating   *float64          `json:"overall_rating"`
	QuestionResults []questionResult  `json:"question_results"`
	CriteriaResults []criterionResult `json:"criteria_results"`
	Ratings         []resultRating    `json:"ratings"`
	Notes           []resultNote      `json:"notes"`
	Vetos           []resultVeto      `json:"vetos"`
}

type questionResult struct {
	Question      string  `json:"question"`
	AverageRating float64 `json:"average_rating"`
}

type criterionResult struct {
	Criterion     string  `json:"criterion"`
	AverageRating float64 `json:"average_rating"`
}

func (s *server) showResult(company, project int64, r *db.Result) result {
	return result{
		ResourceURI:   s.resultURI(company, project, r.CandidateNumber),
		Candidate:     s.candidateURI(company, project, r.CandidateNumber),
		OverallRating: r.Overall,
		QuestionResults: surface.Mapped(r.Questions, func(q *db.QuestionAverage) questionResult {
			return questionResult{s.questionURI(company, project, q.QuestionNumber), q.Average}
		}),
		CriteriaResults: surface.Mapped(r.Criteria, func(k *db.CriterionAverage) criterionResult {
			return criterionResult{k.Criterion, k.Average}
		}),
		Ratings: surface.Mapped(r.Ratings, func(x *db.Rating) resultRating {
			return s.showResultRating(company, project, r.CandidateNumber, x)
		}),
		Notes: surface.Mapped(r.Notes, func(n *db.Note) resultNote {
			return s.showResultNote(company, project, r.CandidateNumber, n)
		}),
		Vetos: surface.Mapped(r.Vetos, func(v *db.Veto) resultVeto {
			return s.showResultVeto(company, project, r.CandidateNumber, v)
		}),
	}
}

func (s *server) listResults(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	p, err := pageOf(c)
	if err != nil {
		return err
	}
	rows, total, err := db.ListResults(c.Request.Context(), s.DB, project.ID, readerOf(c), p.Window())
	if err != nil {
		return err
	}
	out := surface.Mapped(rows, func(r *db.Result) result { return s.showResult(company.Number, project.Number, r) })
	return okPage(s, c, p, out, total)
}

func (s *server) getResult(c *gin.Context) error {
	company, project, err := s.project(c)
	if err != nil {
		return err
	}
	number, err := surface.PathNumber(c, "result", "Result")
	if err != nil {
		return err
	}
	r, err := db.ResultByNumber(c.Request.Context(), s.DB, project.ID, readerOf(c), number)
	if err != nil {
		return err
	}
	return ok(c, http.StatusOK, s.showResult(company.Number, project.Number, r))
}
