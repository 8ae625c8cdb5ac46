package aiinterviews

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"codeberg.org/go-pdf/fpdf"
	"github.com/gin-gonic/gin"
	"github.com/go-fonts/dejavu/dejavusans"
	"github.com/go-fonts/dejavu/dejavusansbold"

	"greenroom/db"
)

// answerPDF sends the report as a PDF. Until the given time its links to recordings need no key.
func (s *server) answerPDF(c *gin.Context, i *db.Interview, until time.Time) error {
	r, err := s.makeReport(c.Request.Context(), i, until)
	if err != nil {
		return err
	}
	file, err := s.pdfs.of(c.Request.Context(), r)
	if err != nil {
		return err
	}
	c.Header("Content-Disposition", fmt.Sprintf(`attachment; filename="report-%d.pdf"`, i.Number))
	c.Header("X-Content-Type-Options", "nosniff")
	c.Data(http.StatusOK, "application/pdf", file)
	return nil
}

// line is one fact of the report, as text. A fact that the analyser did not supply is left out.
type line struct{ Label, Text string }

func (r *report) lines() []line {
	all := []line{
		{"AI interview", deref(r.InterviewName)},
		{"Candidate", r.CandidateName},
		{"E-mail", deref(r.CandidateEmail)},
		{"Status", r.InviteStatus},
		{"Completed", utc(deref(r.CompletedDate))},
		{"Score", outOfTen(r.Score)},
		{"Integrity", outOfTen(r.IntegrityScore)},
		{"Recommendation", deref(r.Recommendation)},
		{"Your id", deref(r.CustomFieldID)},
	}
	return slices.DeleteFunc(all, func(l line) bool { return l.Text == "" })
}

func deref(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}

func utc(date string) string {
	if date == "" {
		return ""
	}
	return date + " UTC"
}

func outOfTen(n *float64) string {
	if n == nil {
		return ""
	}
	return strconv.FormatFloat(*n, 'f', -1, 64) + " / 10"
}

// skillGroup is one list of skill scores.
type skillGroup struct {
	Name   string
	Skills []line
}

// skills returns the scores that have the contract's form: lists of {skill_name, score}.
func (r *report) skills() []skillGroup {
	var groups []skillGroup
	for name, raw := range r.SkillWiseScores {
		var list []struct {
			Name  string   `json:"skill_name"`
			Score *float64 `json:"score"`
		}
		if json.Unmarshal(raw, &list) != nil {
			continue
		}
		g := skillGroup{Name: groupName(name)}
		for _, skill := range list {
			g.Skills = append(g.Skills, line{skill.Name, outOfTen(skill.Score)})
		}
		groups = append(groups, g)
	}
	slices.SortFunc(groups, func(a, b skillGroup) int { return strings.Compare(a.Name, b.Name) })
	return groups
}

func groupName(key string) string {
	switch key {
	case "must_haves":
		return "Must have"
	case "nice_to_haves":
		return "Nice to have"
	}
	return key
}

// Dimensions of the page, in millimetres and points.
const (
	margin     = 20
	labelWidth = 42
	lineHeight = 6
)

const (
	// maxPages is where the report is cut. Without it, a mebibyte of short lines, in an answer, a summary or a skill,
	// would make a PDF of 8,500 pages, which costs seconds of CPU time at each request to a shared link.
	maxPages = 200
	// maxFact limits a label and a text beside it, in characters: a page.
	maxFact = 2000
	// maxPiece limits what is laid out between two checks of maxPages, in characters.
	maxPiece = 2000
)

// sheet is the PDF under construction. Its font has Latin, Greek, Cyrillic, Hebrew and Arabic letters, the latter two
// unshaped and left to right. Other characters stay blank.
type sheet struct{ *fpdf.Fpdf }

func writePDF(w io.Writer, r *report) error {
	s := &sheet{fpdf.New("P", "mm", "A4", "")}
	s.AddUTF8FontFromBytes("dejavu", "", dejavusans.TTF)
	s.AddUTF8FontFromBytes("dejavu", "B", dejavusansbold.TTF)
	s.SetMargins(margin, margin, margin)
	s.SetAutoPageBreak(true, margin)
	s.SetTitle("Interview report "+strconv.FormatInt(r.interview.Number, 10), true)
	s.SetCreator("Greenroom", true)
	s.AliasNbPages("{pages}")
	s.SetFooterFunc(s.footer)
	s.AddPage()
	s.title("Interview report")
	for _, l := range r.lines() {
		s.fact(l)
	}
	if r.CandidateSummary != nil {
		s.heading("Summary")
		s.paragraph(*r.CandidateSummary)
	}
	for _, g := range r.skills() {
		s.heading("Skills: " + g.Name)
		for _, skill := range g.Skills {
			s.fact(skill)
		}
	}
	s.recordings(r.InterviewRecording)
	s.conversation(r.Conversation)
	if s.full() {
		s.cut()
	}
	return s.Output(w)
}

// full reports whether the PDF has reached its limit: then nothing more is laid out.
func (s *sheet) full() bool { return s.PageNo() >= maxPages }

// cut says that the report is longer.
func (s *sheet) cut() {
	s.SetFont("dejavu", "B", 12)
	s.SetTextColor(20, 60, 45)
	s.MultiCell(0, 8, "The report is longer: its web page shows all of it.", "", "L", false)
}

func (s *sheet) footer() {
	s.SetY(-margin + 5)
	s.SetFont("dejavu", "", 8)
	s.SetTextColor(110, 110, 110)
	s.CellFormat(0, 5, fmt.Sprintf("%d / {pages}", s.PageNo()), "", 0, "C", false, 0, "")
}

func (s *sheet) title(text string) {
	s.SetFont("dejavu", "B", 18)
	s.SetTextColor(20, 60, 45)
	s.MultiCell(0, 10, text, "", "L", false)
	s.Ln(2)
}

func (s *sheet) heading(text string) {
	if s.full() {
		return
	}
	s.Ln(3)
	s.SetFont("dejavu", "B", 12)
	s.SetTextColor(20, 60, 45)
	s.MultiCell(0, 8, printable(clip(text)), "", "L", false)
}

func (s *sheet) fact(l line) {
	if s.full() {
		return
	}
	s.SetTextColor(30, 30, 30)
	s.SetFont("dejavu", "B", 10)
	top := s.GetY()
	s.MultiCell(labelWidth, lineHeight, printable(clip(l.Label)), "", "L", false)
	left := s.GetY()
	if left < top { // the label went over to a new page
		top = margin
	}
	s.SetXY(margin+labelWidth, top)
	s.SetFont("dejavu", "", 10)
	s.MultiCell(0, lineHeight, printable(clip(l.Text)), "", "L", false)
	if s.GetY() < left {
		s.SetY(left)
	}
}

func (s *sheet) paragraph(text string) {
	s.SetFont("dejavu", "", 10)
	s.SetTextColor(30, 30, 30)
	for text := range strings.SplitSeq(text, "\n") {
		for first := true; first || text != ""; first = false {
			if s.full() {
				return
			}
			piece := firstPiece(text)
			s.MultiCell(0, lineHeight, printable(piece), "", "L", false)
			text = text[len(piece):]
		}
	}
}

// firstPiece returns the beginning of a line, at most maxPiece characters, if possible up to a space.
func firstPiece(text string) string {
	n := 0
	for at := range text {
		if n++; n > maxPiece {
			if space := strings.LastIndexByte(text[:at], ' '); space > 0 {
				at = space + 1
			}
			return text[:at]
		}
	}
	return text
}

// clip limits a label or a fact.
func clip(text string) string {
	n := 0
	for at := range text {
		if n++; n > maxFact {
			return text[:at] + "…"
		}
	}
	return text
}

func (s *sheet) recordings(urls map[string]string) {
	if len(urls) == 0 {
		return
	}
	s.heading("Recordings")
	s.SetFont("dejavu", "", 10)
	s.SetTextColor(20, 80, 160)
	for _, at := range sortedKeys(urls) {
		if s.full() {
			return
		}
		ms, _ := strconv.ParseInt(at, 10, 64)
		s.WriteLinkString(lineHeight, moment(time.UnixMilli(ms)), urls[at])
		s.Ln(lineHeight)
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}

func (s *sheet) conversation(all []said) {
	if len(all) == 0 {
		return
	}
	s.heading("Conversation")
	for _, l := range all {
		if s.full() {
			return
		}
		s.SetFont("dejavu", "B", 9)
		s.SetTextColor(110, 110, 110)
		s.MultiCell(0, lineHeight, printable(clip(l.Role)), "", "L", false)
		s.paragraph(deref(l.Content))
		s.Ln(1)
	}
}

// printable removes characters that the library's font tables cannot represent: those beyond the first plane, such as
// emoji, and control characters.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n':
			return r
		case r > 0xFFFF, r == unicode.ReplacementChar:
			return '\u25A1' // a box
		case unicode.IsControl(r):
			return ' '
		}
		return r
	}, text)
}
