package activities_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/activities"
	"greenroom/activities/webhook"
	"greenroom/db"
	"greenroom/db/pg"
)

// sources are the activities of a sourcing service that hangs for requests with the title "hang".
type sources struct {
	*interviews
	hanging atomic.Int32
}

func setupSources(t *testing.T) *sources {
	t.Helper()
	s := &sources{interviews: setupInterview(t, db.Online)}
	end := make(chan struct{})
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		if strings.Contains(string(raw), `"hang"`) {
			s.hanging.Add(1)
			<-end
		}
		_, _ = io.WriteString(w, `{"candidates":[{"profileId":"p","name":"Ada"}]}`)
	}))
	t.Cleanup(srv.Close)
	t.Cleanup(func() { close(end) })
	s.Services = webhook.NewClient(webhook.ClientOptions{AllowHTTP: true, AllowLoopback: true})
	s.Sourcing = activities.Service{URL: srv.URL}
	return s
}

func (s *sources) company() uuid.UUID {
	id := pg.NewID()
	s.exec("INSERT INTO companies (id, name) VALUES (?, 'Another')", id)
	return id
}

func (s *sources) run(company uuid.UUID, title string) activities.RunPass {
	s.t.Helper()
	r := &db.ServiceRun{
		CompanyID: company, Kind: db.RunSourcing, Request: db.RunRequest{Title: title, JobDescription: "x", Limit: 1},
	}
	s.tx(func(ctx context.Context, tx bun.Tx) error { return db.CreateRun(ctx, tx, r, time.Hour) })
	return activities.RunPass{RunID: r.ID, Pass: 1}
}

// TestAskService_shares_a_service_that_hangs: the requests of one company leave places for another one, and for the
// other work of the process.
func TestAskService_shares_a_service_that_hangs(t *testing.T) {
	t.Parallel()
	s := setupSources(t)
	const many = 3 * activities.OutsidePlaces
	busy, runs := s.company(), make([]activities.RunPass, many)
	for i := range runs {
		runs[i] = s.run(busy, "hang")
	}
	ctx, cancel := context.WithCancel(s.ctx)
	var refused atomic.Int32
	var asking sync.WaitGroup
	for _, r := range runs {
		asking.Go(func() {
			if _, err := s.AskService(ctx, r); err != nil && ctx.Err() == nil {
				assert.ErrorContains(t, err, "the sourcing service: too many requests are in progress")
				refused.Add(1)
			}
		})
	}
	const share = activities.OutsidePlaces / 4 * 3
	require.Eventually(t, func() bool { return s.hanging.Load() == share && refused.Load() == many-share },
		20*time.Second, 10*time.Millisecond, "one company has its share, the others try again")

	fine := s.run(s.company(), "fine")
	ended, err := s.AskService(s.ctx, fine)
	require.NoError(t, err)
	require.True(t, ended)
	cancel()
	asking.Wait()
	ended, err = s.AskService(s.ctx, s.run(busy, "fine"))
	require.NoError(t, err, "places are given back")
	require.True(t, ended)
}
