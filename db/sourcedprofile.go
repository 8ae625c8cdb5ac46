package db

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/pg"
)

// SourcedProfile is a person that a run of the sourcing service found or enriched. It is kept as long as its run.
type SourcedProfile struct {
	bun.BaseModel `bun:"table:sourced_profiles,alias:sp"`

	CompanyID uuid.UUID `bun:"company_id,pk"`
	ID        uuid.UUID `bun:"id,pk"`
	RunID     uuid.UUID `bun:"run_id"`
	// ProfileID is the service's id of the person.
	ProfileID string `bun:"profile_id"`
	Pass      int    `bun:"pass"`
	// Data is what the service knows of the person; nil if it could not enrich the profile, with the reason below.
	Data         *SourcedCandidate `bun:"data,type:jsonb"`
	ErrorCode    *string           `bun:"error_code"`
	ErrorMessage *string           `bun:"error_message"`
	CreatedAt    time.Time         `bun:"created_at"`
}

// SourcedCandidate is a person as the service describes it, in the form of the API.
type SourcedCandidate struct {
	ProfileID           string              `json:"profileId"`
	Name                string              `json:"name"`
	LinkedinURL         string              `json:"linkedinUrl,omitempty"`
	MatchScore          *int                `json:"matchScore,omitempty"`
	Rationale           string              `json:"rationale,omitempty"`
	Skills              []string            `json:"skills"`
	Headline            string              `json:"headline,omitempty"`
	Location            string              `json:"location,omitempty"`
	CurrentCompany      string              `json:"currentCompany,omitempty"`
	CurrentRole         string              `json:"currentRole,omitempty"`
	AIFitPoints         []string            `json:"aiFitPoints,omitempty"`
	AIRedFlags          []string            `json:"aiRedFlags,omitempty"`
	AIDetailedRationale []SourcedRationale  `json:"aiDetailedRationale,omitempty"`
	DetailedExperience  []SourcedExperience `json:"detailedExperience,omitempty"`
	Emails              []string            `json:"emails,omitempty"`
}

// SourcedRationale says why a position of the person matters.
type SourcedRationale struct {
	Title                string `json:"title,omitempty"`
	Company              string `json:"company,omitempty"`
	Duration             string `json:"duration,omitempty"`
	RelevanceExplanation string `json:"relevanceExplanation,omitempty"`
}

// SourcedExperience is a position of the person.
type SourcedExperience struct {
	Role       string   `json:"role,omitempty"`
	Company    string   `json:"company,omitempty"`
	Duration   string   `json:"duration,omitempty"`
	Highlights []string `json:"highlights,omitempty"`
}

func (r *ServiceRun) profile(profileID string, c *SourcedCandidate) SourcedProfile {
	return SourcedProfile{
		ID: pg.NewID(), RunID: r.ID, CompanyID: r.CompanyID, ProfileID: profileID, Pass: r.Pass, Data: c, CreatedAt: now(),
	}
}

// insertProfiles stores profiles, without those that their run has already, and returns the number of new ones.
func insertProfiles(ctx context.Context, tx bun.Tx, ps []SourcedProfile) (int, error) {
	if len(ps) == 0 {
		return 0, nil
	}
	res, err := tx.NewInsert().Model(&ps).On("CONFLICT (run_id, profile_id) DO NOTHING").Exec(ctx)
	if err != nil {
		return 0, fmt.Errorf("insert sourced profiles: %w", pg.Translate(err))
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// CountProfiles returns the number of profiles of a run: at most MostSourced.
func CountProfiles(ctx context.Context, db bun.IDB, run uuid.UUID) (n int, err error) {
	err = db.NewRaw("SELECT count(*) FROM sourced_profiles WHERE run_id = ?", run).Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count sourced profiles: %w", err)
	}
	return n, nil
}

// ProfilesOf returns the profiles of a run, the best match first. Those of an enrichment are in the order of its
// request.
func ProfilesOf(ctx context.Context, db bun.IDB, run uuid.UUID) ([]SourcedProfile, error) {
	ps := []SourcedProfile{}
	if err := db.NewSelect().Model(&ps).Where("sp.run_id = ?", run).Scan(ctx); err != nil {
		return nil, fmt.Errorf("list sourced profiles: %w", err)
	}
	slices.SortFunc(ps, func(a, b SourcedProfile) int {
		return cmp.Or(cmp.Compare(b.score(), a.score()), slices.Compare(a.ID[:], b.ID[:]))
	})
	return ps, nil
}

func (p *SourcedProfile) score() int {
	if p.Data == nil || p.Data.MatchScore == nil {
		return -1
	}
	return *p.Data.MatchScore
}

// ProfileIDsOf returns the service's ids of a run's profiles.
func ProfileIDsOf(ctx context.Context, db bun.IDB, run uuid.UUID) ([]string, error) {
	ids := []string{}
	err := db.NewRaw("SELECT profile_id FROM sourced_profiles WHERE run_id = ? ORDER BY id", run).Scan(ctx, &ids)
	if err != nil {
		return nil, fmt.Errorf("list sourced profiles: %w", err)
	}
	return ids, nil
}

// FindProfiles returns what a company knows best of each profile: the newest row with data. Profiles that the company
// has not sourced are not in the map.
func FindProfiles(
	ctx context.Context, db bun.IDB, company uuid.UUID, profileIDs []string,
) (map[string]*SourcedCandidate, error) {
	rows, err := pg.Direct(db).QueryContext(ctx, `SELECT p.data FROM unnest($2::text[]) AS wanted (id) CROSS JOIN LATERAL (
			SELECT sp.data FROM sourced_profiles sp
			WHERE sp.company_id = $1 AND sp.profile_id = wanted.id AND sp.data IS NOT NULL ORDER BY sp.id DESC LIMIT 1
		) p`, company, profileIDs)
	if err != nil {
		return nil, fmt.Errorf("find sourced profiles: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	found := make(map[string]*SourcedCandidate, len(profileIDs))
	for rows.Next() {
		var data []byte
		c := new(SourcedCandidate)
		if err := rows.Scan(&data); err != nil {
			return nil, fmt.Errorf("find sourced profiles: %w", err)
		}
		if err := json.Unmarshal(data, c); err != nil {
			return nil, fmt.Errorf("read sourced profile: %w", err)
		}
		found[c.ProfileID] = c
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("find sourced profiles: %w", err)
	}
	return found, nil
}

// DeleteProfile deletes all that a company has of a sourced person, and returns the number of profiles.
func DeleteProfile(ctx context.Context, db bun.IDB, company uuid.UUID, profileID string) (int, error) {
	res, err := db.ExecContext(ctx, "DELETE FROM sourced_profiles WHERE company_id = ? AND profile_id = ?",
		company, profileID)
	if err != nil {
		return 0, fmt.Errorf("delete sourced profile: %w", err)
	}
	n, err := res.RowsAffected()
	return int(n), err
}

// EraseProfiles deletes the profiles of a company that have the person, of up to limit after that id.
func EraseProfiles(
	ctx context.Context, tx bun.Tx, company, after uuid.UUID, who delivery.Person, limit int,
) (page delivery.ErasedPage, err error) {
	rows, err := pg.Direct(tx).
		QueryContext(ctx, `SELECT id, CASE WHEN lower(data::text) LIKE ANY ($3::text[]) THEN data END
		FROM sourced_profiles WHERE company_id = $1 AND id > $2 ORDER BY id LIMIT $4`, company, after, who.Patterns, limit)
	if err != nil {
		return page, fmt.Errorf("look for sourced profiles: %w", err)
	}
	defer func() { _ = rows.Close() }() // rows.Err reports its error
	var found []uuid.UUID
	for rows.Next() {
		var data []byte
		if err := rows.Scan(&page.Last, &data); err != nil {
			return page, fmt.Errorf("look for sourced profiles: %w", err)
		}
		page.Looked++
		if data != nil && who.In(string(data)) {
			found = append(found, page.Last)
		}
	}
	if err := rows.Err(); err != nil {
		return page, fmt.Errorf("look for sourced profiles: %w", err)
	}
	if page.Erased = len(found); page.Erased == 0 {
		return page, nil
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM sourced_profiles WHERE company_id = ? AND id IN (?)", company,
		bun.List(found))
	if err != nil {
		return page, fmt.Errorf("erase sourced profiles: %w", err)
	}
	return page, nil
}
