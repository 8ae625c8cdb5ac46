package e2e_test

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"greenroom/cmd/internal/config"
	"greenroom/cmd/internal/devstack"
)

// found is the longest time after the due time until a missing workflow is started again and its effect is
// visible.
const found = 60 * time.Second

// soon waits for the effect of a lost workflow, at most found after it was due.
func (s *system) soon(due time.Time, ok func() bool, what string, args ...any) {
	s.t.Helper()
	require.Eventually(s.t, ok, time.Until(due.Add(found)), 100*time.Millisecond, append([]any{what}, args...)...)
}

// terminate waits for a workflow and terminates it, as an operator can.
func (s *system) terminate(id string) {
	s.t.Helper()
	c := s.temporal()
	s.eventually(
		func() bool { return c.TerminateWorkflow(s.t.Context(), id, "", "test") == nil },
		"workflow %s is there",
		id,
	)
}

// slowRelease makes releases and replays slow enough to be interrupted.
func slowRelease(c *config.Config) { c.Circuit.ReleaseLimit = 2 }

// TestATerminatedWorkflowIsStartedAgain terminates the workflow of each kind of row that needs one.
func TestATerminatedWorkflowIsStartedAgain(t *testing.T) {
	t.Run("of_an_invitation", func(t *testing.T) {
		s := setup(t, func(c *config.Config) { c.Interview.InvitationDeadline = 5 * time.Second })
		id := s.interview("ONLINE", "+421900000100")
		due := time.Now().Add(5 * time.Second)
		s.terminate("interview:" + id)
		s.soon(due, func() bool { return s.interviewStatus(id) == "FAILED" }, "the invitation expires")
	})
	t.Run("of_a_call", func(t *testing.T) {
		s := setup(t, simulate(t, true))
		due := time.Now().Add(5 * time.Second)
		id := s.callAt(due)
		s.terminate("interview:" + id)
		s.soon(
			due,
			func() bool { return s.interviewStatus(id) == "COMPLETED" },
			"the call is placed, and its analysis asked for",
		)
	})
	t.Run("of_an_analysis", func(t *testing.T) {
		analyser, up := analyserThatIsDown(t)
		s := setup(t, simulate(t, false), analyser)
		id := s.callAt(time.Now())
		s.eventually(func() bool { return s.interviewStatus(id) == "COMPLETED" }, "it is held")
		s.terminate("interview:" + id)
		up.Store(true)
		s.soon(
			time.Now(),
			func() bool { return s.must(http.MethodGet, "/interviews/"+id, nil)["analysis"] != nil },
			"it is analysed",
		)
	})
	t.Run("of_a_delivery_that_is_retried", func(t *testing.T) {
		s := setup(t, eachAlone)
		r := listen(t, func(n int, _ received) (int, http.Header) {
			if n == 1 {
				return http.StatusServiceUnavailable, nil
			}
			return http.StatusOK, nil
		})
		w := s.webhook(r, "instaview", 5)
		s.publish("interview.started", 1)
		s.eventually(func() bool { return s.statuses(w["id"])["retrying"] == 1 }, "it waits")
		s.terminate(fmt.Sprintf("delivery:%s:0", s.delivered(w["id"])[0].ID))
		due := time.Now().Add(5 * time.Second) // the schedule's first wait
		s.soon(due.Add(5*time.Second), func() bool { return s.statuses(w["id"])["succeeded"] == 1 }, "it is sent")
	})
	t.Run("of_a_circuit_that_probes", func(t *testing.T) {
		s := setup(
			t,
			eachAlone,
			func(c *config.Config) { c.Circuit.Recovery, c.Circuit.Cooldown = config.RecoverByProbe, 5*time.Second },
		)
		r, w := s.paused(12)
		s.terminate(fmt.Sprintf("circuit:%s", w))
		r.turn(nil)
		s.soon(
			time.Now().Add(20*time.Second),
			func() bool { return s.statuses(w)["succeeded"] == 12 },
			"it is probed and releases",
		)
	})
	t.Run("of_a_circuit_that_waits_for_a_reset", func(t *testing.T) {
		s := setup(t, eachAlone)
		r, w := s.paused(12)
		id := fmt.Sprintf("circuit:%s", w)
		s.terminate(id)
		r.turn(nil)
		c := s.temporal()
		s.soon(
			time.Now(),
			func() bool { return c.SignalWorkflow(t.Context(), id, "", "reset", nil) == nil },
			"it can be reset by signal again",
		)
		s.eventually(func() bool { return s.statuses(w)["succeeded"] == 12 }, "and releases")
	})
	t.Run("of_a_release", func(t *testing.T) {
		s := setup(t, eachAlone, slowRelease)
		r, w := s.paused(30)
		r.turn(nil)
		s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/reset-circuit", w), nil)
		s.eventually(func() bool { return s.statuses(w)["succeeded"] > 3 }, "it releases")
		s.terminate(fmt.Sprintf("circuit:%s", w))
		require.Positive(t, s.statuses(w)["paused"], "much is left")
		s.soon(time.Now().Add(20*time.Second), func() bool { return s.statuses(w)["succeeded"] == 30 }, "it continues")
	})
	t.Run("of_a_replay", func(t *testing.T) {
		s := setup(t, slowRelease)
		r := listen(t, nil)
		w := s.webhook(r, "instaview", 5)
		s.publishAtOnce("interview.started", 30)
		s.eventually(func() bool { return s.statuses(w["id"])["succeeded"] == 30 }, "all arrive")
		replay := s.replay(w["id"])
		s.eventually(func() bool { return r.count() > 33 }, "some arrive again")
		s.terminate("replay:" + replay)
		s.soon(time.Now().Add(20*time.Second), func() bool { return r.count() == 60 }, "all arrive again")
	})
	t.Run("of_a_generation", func(t *testing.T) {
		down := httptest.NewServer(
			http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) }),
		)
		t.Cleanup(down.Close)
		s := setup(t, func(c *config.Config) { c.Generator.URL = down.URL })
		id := s.generation()
		s.terminate("generate:" + id)
		c := s.temporal()
		s.soon(time.Now(), func() bool {
			d, err := c.DescribeWorkflowExecution(t.Context(), "generate:"+id, "")
			return err == nil && d.WorkflowExecutionInfo.Status.String() == "Running"
		}, "it is asked for again")
	})
}

// analyserThatIsDown configures an analyser that fails until up is true.
func analyserThatIsDown(t *testing.T) (mod func(*config.Config), up *atomic.Bool) {
	t.Helper()
	up = new(atomic.Bool)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		if !up.Load() {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write([]byte(`{"general": {"overallRating": 80}}`))
	}))
	t.Cleanup(srv.Close)
	return func(c *config.Config) { c.Analysis.URL = srv.URL }, up
}

// callAt creates a telephone interview whose call is scheduled at that time.
func (s *system) callAt(at time.Time) (id string) {
	s.t.Helper()
	id = s.interview("ONLINE", "+421900000100") // creates the job and the candidate
	i := s.must(http.MethodGet, "/interviews/"+id, nil)
	agent := s.must(http.MethodPost, "/agents", map[string]any{
		"name": "Bob", "type": "PHONE", "focus": "SCREENING", "language": "EN", "duration": 15, "questions": []string{"Why?"},
	})
	return s.must(http.MethodPost, "/interviews", map[string]any{
		"candidateId": i["candidateId"], "jobId": i["jobId"], "agentId": agent["id"],
		"scheduledAt": at.UTC().Format(time.RFC3339),
	})["id"].(string)
}

// paused opens the circuit of a new webhook and returns when n of its deliveries are paused.
func (s *system) paused(n int) (r *receiver, webhook any) {
	s.t.Helper()
	r = listen(s.t, status(http.StatusInternalServerError))
	webhook = s.webhook(r, "instaview", 5)["id"]
	s.publish("interview.started", n)
	s.openCircuit(webhook)
	s.eventually(func() bool { return s.statuses(webhook)["paused"] == n }, "all wait: %v", s.statuses(webhook))
	return r, webhook
}

func (s *system) replay(webhook any) (id string) {
	s.t.Helper()
	return s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/replays", webhook), map[string]any{
		"since": time.Now().Add(-time.Hour).UTC().Format(time.RFC3339), "status": []string{"succeeded"},
	})["id"].(string)
}

// generation requests an AI interview and returns the id of the generation.
func (s *system) generation() (id string) {
	s.t.Helper()
	s.callAI(
		http.MethodPost,
		"/generate-interview",
		map[string]any{"job_role": "Engineer", "job_description": "Keeps it running"},
	)
	s.eventually(func() bool {
		err := s.db.NewRaw("SELECT id::text FROM generations WHERE status = 'pending' ORDER BY id DESC LIMIT 1").
			Scan(s.t.Context(), &id)
		return err == nil
	}, "it is written down")
	return id
}

// TestTemporalComesBackEmpty drops Temporal's store under load: all waiting work continues from the
// database.
func TestTemporalComesBackEmpty(t *testing.T) {
	s := prepare(t, slowRelease, simulate(t, true))
	temporal := s.ownTemporal()
	s.serve()
	s.work()
	fine := listen(t, nil)
	busy := s.webhook(fine, "instaview", 5)
	// The wait is long enough for Temporal to be lost in it, and no second attempts open the circuit.
	failing := listen(t, func(int, received) (int, http.Header) {
		return http.StatusServiceUnavailable, http.Header{"Retry-After": {"30"}}
	})
	retried := s.webhook(failing, "instaview", "analysis.completed")
	releasing, released := s.paused(40)
	releasing.turn(nil)
	s.publishAtOnce("interview.started", 30) // delivered to two of the three webhooks
	s.eventually(
		func() bool { return s.statuses(busy["id"])["succeeded"] >= 70 },
		"the healthy one gets its own: %v",
		s.statuses(busy["id"]),
	)
	s.publish("analysis.completed", 5)
	s.eventually(
		func() bool { return s.statuses(retried["id"])["retrying"] == 5 },
		"some are retried: %v",
		s.statuses(retried["id"]),
	)
	failing.turn(nil)
	call := s.callAt(time.Now().Add(15 * time.Second))
	before := s.statuses(busy["id"])["succeeded"]
	replay := s.replay(busy["id"])
	s.must(http.MethodPost, fmt.Sprintf("/webhooks/%s/reset-circuit", released), nil)
	s.eventually(func() bool { return s.statuses(released)["succeeded"] > 3 }, "it releases")
	s.eventually(func() bool { return fine.count() > before+3 }, "it replays")

	stopLoad, accepted := s.load()
	require.NoError(t, temporal.Stop(t.Context()))
	time.Sleep(2 * time.Second) // the load continues
	s.startBareTemporal()
	back := time.Now()
	time.Sleep(5 * time.Second)
	stopLoad()

	all := func(webhook any) bool {
		n := s.statuses(webhook)
		return len(n) == 1 && n["succeeded"] > 0
	}
	within := func(what string, ok func() bool) {
		t.Helper()
		// A retry can be due 36 s later, and its workflow is started again within 60 s of that.
		require.Eventually(t, ok, time.Until(back.Add(wait+30*time.Second)), 100*time.Millisecond, what)
		t.Logf("%s: %.0f s after Temporal was back", what, time.Since(back).Seconds())
	}
	within("retried deliveries arrive", func() bool { return all(retried["id"]) })
	within("the interview is held and analysed", func() bool { return s.interviewStatus(call) == "COMPLETED" })
	within("the release ends", func() bool { return all(released) })
	within("the replay ends", func() bool {
		return s.must(http.MethodGet, fmt.Sprintf("/webhooks/%s/replays/%s", busy["id"], replay), nil)["state"] == "completed"
	})
	within("every accepted event arrives", func() bool { return all(busy["id"]) })
	require.Positive(t, accepted(), "there was load")
	require.Zero(t, s.batchesUnderWay())
}

// load publishes events sequentially until it is stopped.
func (s *system) load() (stop func(), accepted func() int) {
	ctx, cancel := context.WithCancel(s.t.Context())
	done, n := make(chan struct{}), 0
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			if a, err := s.try(
				http.MethodPost,
				"/events",
				map[string]any{"type": "interview.started", "data": map[string]any{}},
			); err == nil &&
				a.Status < 300 {
				n++
			}
		}
	}()
	return func() { cancel(); <-done }, func() int { return n }
}

// startBareTemporal starts a server at the address of the one that was stopped, with an empty store and without
// search attributes.
func (s *system) startBareTemporal() {
	s.t.Helper()
	_, port, err := net.SplitHostPort(s.cfg.Temporal.Address)
	require.NoError(s.t, err)
	cmd := exec.Command(
		os.Getenv("GREENROOM_TEST_TEMPORAL_BIN"),
		"server",
		"start-dev",
		"--headless",
		"--log-level",
		"error",
		"--ip",
		"127.0.0.1",
		"--port",
		port,
		"--dynamic-config-value",
		"system.enableEagerWorkflowStart=true",
	)
	require.NoError(s.t, cmd.Start())
	s.t.Cleanup(func() { _ = cmd.Process.Kill(); _ = cmd.Wait() })
	s.eventually(func() bool { return devstack.CheckTemporal(s.t.Context(), s.cfg.Temporal.Address) == nil }, "it answers")
}
