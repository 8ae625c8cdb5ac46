package interviewsuite

import (
	"net/http"
	"slices"

	"greenroom/api/surface"
)

// mediaRoutes serve questions, answer videos, their evaluation, and all other files.
func (s *server) mediaRoutes() []surface.Route {
	return slices.Concat(s.questionRoutes(), s.answerVideoRoutes(), s.ratingRoutes(), s.noteRoutes(), s.vetoRoutes(),
		s.resultRoutes(), s.welcomeVideoRoutes(), s.attachmentRoutes())
}

// fileRoutes serve a file: GET, and HEAD for players that ask for the size first.
func fileRoutes(path, scope string, h surface.Handler) []surface.Route {
	return []surface.Route{
		surface.Get(path, scope, h).Streams(),
		surface.Route{Method: http.MethodHead, Path: path, Scope: scope, Handle: h}.Streams(),
	}
}

func (s *server) questionURI(company, project, question int64) string {
	return s.uri("companies/%d/projects/%d/questions/%d/", company, project, question)
}

func (s *server) answerVideoURI(company, project, candidate, video int64) string {
	return s.uri("companies/%d/projects/%d/candidates/%d/answervideos/%d/", company, project, candidate, video)
}

func (s *server) ratingURI(company, project, candidate, rating int64) string {
	return s.uri("companies/%d/projects/%d/candidates/%d/ratings/%d/", company, project, candidate, rating)
}

func (s *server) noteURI(company, project, candidate, note int64) string {
	return s.uri("companies/%d/projects/%d/candidates/%d/notes/%d/", company, project, candidate, note)
}

func (s *server) vetoURI(company, project, candidate, veto int64) string {
	return s.uri("companies/%d/projects/%d/candidates/%d/vetos/%d/", company, project, candidate, veto)
}

func (s *server) resultURI(company, project, candidate int64) string {
	return s.uri("companies/%d/projects/%d/results/%d/", company, project, candidate)
}

func (s *server) welcomeVideoURI(company, video int64) string {
	return s.uri("companies/%d/videos/%d/", company, video)
}

// optionalURI returns the address of an optional resource; nil when number is nil.
func optionalURI(number *int64, uri func(int64) string) *string {
	if number == nil {
		return nil
	}
	address := uri(*number)
	return &address
}
