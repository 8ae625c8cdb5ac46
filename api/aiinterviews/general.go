package aiinterviews

import (
	"context"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/api/surface"
	"greenroom/db"
)

// generalInput is the body of reference 2.3; absent fields stay unchanged.
type generalInput struct {
	General   generalFields `json:"general" validate:"required"`
	UpdateAll bool          `json:"updateAll"`
}

type generalFields struct {
	Cutoff         *float64      `json:"cutoff" validate:"gte=0,lte=10"`
	Duration       durationInput `json:"duration"`
	MobileFriendly *bool         `json:"mobile_friendly"`
	Voice          []string      `json:"voice"`
	Language       *string       `json:"language"`
}

// durationInput is in minutes.
type durationInput struct {
	Min *int `json:"min" validate:"gte=1,lte=1440"`
	Max *int `json:"max" validate:"gte=1,lte=1440"`
}

// generalOutput equals the input except for voice: the POST returns the voice's id, the GET the pair (reference 2.3).
type generalOutput struct {
	General generalShown `json:"general"`
}

type generalShown struct {
	Cutoff         *float64      `json:"cutoff"`
	Duration       durationShown `json:"duration"`
	MobileFriendly *bool         `json:"mobile_friendly"`
	Voice          any           `json:"voice"`
	Language       *string       `json:"language"`
}

type durationShown struct {
	Min *int `json:"min"`
	Max *int `json:"max"`
}

func showGeneral(g db.AIGeneral, voice any) generalOutput {
	return generalOutput{
		generalShown{
			Cutoff:         g.Cutoff,
			Duration:       durationShown{g.MinMinutes, g.MaxMinutes},
			MobileFriendly: g.MobileFriendly,
			Voice:          voice,
			Language:       g.Language,
		},
	}
}

// voices are the genders of each accent in the reference.
var voices = map[string][]string{
	"american": {
		"male",
		"female",
	},
	"british":          {"male", "female"},
	"african_american": {"female"},
	"arabic":           {"male", "female"},
	"australian":       {"female"},
	"indian":           {"male", "female"},
}

// genders has both spellings, since the reference does not say which one clients send.
var genders = map[string]string{"m": "male", "f": "female", "male": "male", "female": "female"}

// languages are those of the reference, with the codes of agents.
var languages = map[string]string{
	"English":    "EN",
	"Spanish":    "ES",
	"French":     "FR",
	"German":     "DE",
	"Italian":    "IT",
	"Portuguese": "PT",
	"Russian":    "RU",
	"Dutch":      "NL",
	"Polish":     "PL",
	"Turkish":    "TR",
	"Vietnamese": "VI",
	"Indonesian": "ID",
	"Filipino":   "FIL",
	"Malay":      "MS",
	"Arabic":     "AR",
	"Korean":     "KO",
	"Hebrew":     "HE",
}

// languageOf returns the code of the settings' language; nil when it was never set.
func languageOf(g db.AIGeneral) *string {
	if g.Language == nil {
		return nil
	}
	code := languages[*g.Language]
	return &code
}

// voiceID returns the id of the settings' voice; nil when it was never set. It is a UUIDv5 of the pair, so it is the
// same everywhere and always.
func voiceID(g db.AIGeneral) *string {
	if g.Accent == nil || g.Gender == nil {
		return nil
	}
	id := uuid.NewSHA1(uuid.NameSpaceURL, []byte("greenroom:voice:"+*g.Accent+":"+genders[*g.Gender])).String()
	return &id
}

func (s *server) getGeneral(c *gin.Context) error {
	company, err := s.CompanyFor(c)
	if err != nil {
		return err
	}
	g, err := db.CompanyGeneral(c.Request.Context(), s.DB, company)
	if err != nil {
		return err
	}
	var voice []string
	if g.Accent != nil && g.Gender != nil {
		voice = []string{*g.Accent, *g.Gender}
	}
	c.JSON(http.StatusOK, showGeneral(g, voice))
	return nil
}

func (s *server) setGeneral(c *gin.Context) error {
	company, err := s.CompanyFor(c)
	if err != nil {
		return err
	}
	in, err := surface.BindKnown[generalInput](c)
	if err != nil {
		return err
	}
	var g db.AIGeneral
	err = s.inTx(c, func(ctx context.Context, tx bun.Tx) (err error) {
		g, err = db.ChangeCompanyGeneral(
			ctx,
			tx,
			company,
			func(g *db.AIGeneral) error { return s.applyGeneral(&in.General, g) },
			in.UpdateAll,
		)
		return err
	})
	if err != nil {
		return err
	}
	c.JSON(http.StatusOK, showGeneral(g, voiceID(g)))
	return nil
}

func (s *server) applyGeneral(in *generalFields, g *db.AIGeneral) error {
	if in.Voice != nil {
		if !allowedVoice(in.Voice) {
			return surface.Invalid("general.voice", "general.voice must be a pair of accent and gender: "+voiceList())
		}
		g.Accent, g.Gender = &in.Voice[0], &in.Voice[1]
	}
	if in.Language != nil {
		if languages[*in.Language] == "" {
			return surface.Invalid("general.language", "general.language must be one of: "+languageList())
		}
		g.Language = in.Language
	}
	take(&g.Cutoff, in.Cutoff)
	take(&g.MobileFriendly, in.MobileFriendly)
	take(&g.MinMinutes, in.Duration.Min)
	take(&g.MaxMinutes, in.Duration.Max)
	return s.checkDuration(g)
}

func take[T any](to **T, from *T) {
	if from != nil {
		*to = from
	}
}

// checkDuration limits the duration to the time after which an interview in progress fails.
func (s *server) checkDuration(g *db.AIGeneral) error {
	longest := int(s.MaxDuration / time.Minute)
	switch {
	case g.MaxMinutes != nil && longest > 0 && *g.MaxMinutes > longest:
		return surface.Invalid("general.duration.max", "general.duration.max must be at most "+strconv.Itoa(longest))
	case g.MinMinutes != nil && g.MaxMinutes != nil && *g.MinMinutes > *g.MaxMinutes:
		return surface.Invalid("general.duration", "general.duration.min must not be greater than general.duration.max")
	}
	return nil
}

func allowedVoice(pair []string) bool {
	return len(pair) == 2 && slices.Contains(voices[pair[0]], genders[pair[1]])
}

func voiceList() string {
	var pairs []string
	for accent, of := range voices {
		for _, gender := range of {
			pairs = append(pairs, accent+" "+gender)
		}
	}
	slices.Sort(pairs)
	return strings.Join(pairs, ", ")
}

func languageList() string {
	names := make([]string, 0, len(languages))
	for name := range languages {
		names = append(names, name)
	}
	slices.Sort(names)
	return strings.Join(names, ", ")
}
