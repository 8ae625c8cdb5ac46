package workflows_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/mock"
	"github.com/stretchr/testify/require"
	"go.temporal.io/sdk/temporal"

	"greenroom/activities/deliver"
	"greenroom/workflows"
)

// signalDuringLoad sends a signal while the row is read for the nth time.
func (c *circuit) signalDuringLoad(nth int, signal string) {
	c.onLoad = func() {
		if c.loads == nth {
			c.SignalWorkflow(signal, nil)
		}
	}
}

// TestCircuitProbesAtLeastOnceAnHour: each failed probe doubles the cool-down, up to an hour, within which a receiver
// that works again is noticed. A longer configured cool-down stays.
func TestCircuitProbesAtLeastOnceAnHour(t *testing.T) {
	t.Parallel()
	for cooldown, want := range map[time.Duration][]time.Duration{
		20 * time.Minute: {20 * time.Minute, time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour},
		time.Hour:        {time.Hour, 2 * time.Hour, 3 * time.Hour, 4 * time.Hour},
		2 * time.Hour:    {2 * time.Hour, 4 * time.Hour},
	} {
		c := setupCircuit(t, 1)
		c.after(4*time.Hour+time.Minute, func() {
			c.state.Deleted = true
			c.SignalWorkflow(workflows.SignalCircuitChanged, nil)
		})
		c.run(workflows.CircuitInput{Probe: true, Cooldown: cooldown})
		require.Equal(t, want, c.probes)
	}
}

// TestCircuitBeginsTheCooldownAnewWhenItOpensAgain: the failed probes of an earlier opening do not count.
func TestCircuitBeginsTheCooldownAnewWhenItOpensAgain(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 2)
	c.state.OpenedAt = c.start
	c.after(4*time.Minute, func() {
		c.state.OpenedAt = c.start.Add(4 * time.Minute)
		c.SignalWorkflow(workflows.SignalCircuitChanged, nil)
	})
	c.after(6*time.Minute, func() {
		c.state.Deleted = true
		c.SignalWorkflow(workflows.SignalCircuitChanged, nil)
	})
	c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
	require.Equal(t, []time.Duration{time.Minute, 3 * time.Minute, 5 * time.Minute}, c.probes)
}

// TestCircuitDoublesNoCooldownWithoutAProbe: when every paused delivery was canceled, nothing was tried.
func TestCircuitDoublesNoCooldownWithoutAProbe(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 0)
	c.noProbes = true
	c.after(210*time.Second, func() {
		c.state.Deleted = true
		c.SignalWorkflow(workflows.SignalCircuitChanged, nil)
	})
	c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
	require.Equal(t, []time.Duration{time.Minute, 2 * time.Minute, 3 * time.Minute}, c.probes)
}

// TestCircuitFollowsARecoveryThatIsChanged: a probe that was due is not made once the webhook waits for a reset.
func TestCircuitFollowsARecoveryThatIsChanged(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 1)
	set := func(after time.Duration, recovery string) {
		c.after(after, func() {
			c.state.Recovery = recovery
			c.SignalWorkflow(workflows.SignalCircuitChanged, nil)
		})
	}
	set(30*time.Second, "manual")
	set(10*time.Minute, "probe")
	c.after(690*time.Second, func() {
		c.state.Deleted = true
		c.SignalWorkflow(workflows.SignalCircuitChanged, nil)
	})
	c.run(workflows.CircuitInput{Probe: true, Cooldown: time.Minute})
	require.Equal(t, []time.Duration{11 * time.Minute}, c.probes, "a minute after it was set to probe again")
}

// TestCircuitSurvivesAnOutageOfTheDatabase: it continues within five seconds after the database is back.
func TestCircuitSurvivesAnOutageOfTheDatabase(t *testing.T) {
	t.Parallel()
	c := setupCircuit(t, 0)
	var a *deliver.Activities
	var tries []time.Duration
	c.OnActivity(a.CancelDeleted, mock.Anything, mock.Anything).Return(
		func(context.Context, deliver.CancelDeletedInput) (int, error) {
			if tries = append(tries, c.Now().Sub(c.start)); len(tries) < 9 {
				return 0, errors.New("the database is unavailable")
			}
			c.state.ToCancel = false
			return 1, nil
		})
	c.state = deliver.CircuitState{Deleted: true, ToCancel: true}
	c.run(workflows.CircuitInput{})
	require.Len(t, tries, 9)
	require.Equal(t, 5*time.Second, tries[8]-tries[7])
}

// TestCircuitIsFoundByItsWebhook: operators search for webhook and company in the Temporal UI. Webhooks of the platform
// have no company.
func TestCircuitIsFoundByItsWebhook(t *testing.T) {
	t.Parallel()
	for _, company := range []uuid.UUID{uuid.Nil, uuid.New()} {
		c := setupCircuit(t, 0)
		c.state = deliver.CircuitState{Active: true, WebhookID: uuid.New(), CompanyID: company}
		var webhooks, companies []string
		c.OnUpsertTypedSearchAttributes(mock.Anything).Once().Run(func(args mock.Arguments) {
			written := args.Get(0).(temporal.SearchAttributes)
			webhooks, _ = written.GetKeywordList(workflows.WebhookID)
			companies, _ = written.GetKeywordList(workflows.CompanyID)
		}).Return(nil)
		c.run(workflows.CircuitInput{})
		require.Equal(t, []string{c.state.WebhookID.String()}, webhooks)
		if company == uuid.Nil {
			require.Empty(t, companies)
		} else {
			require.Equal(t, []string{company.String()}, companies)
		}
	}
}
