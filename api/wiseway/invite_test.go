package wiseway_test

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"
	"github.com/uptrace/bun"

	"greenroom/api/apitest"
	"greenroom/db"
	"greenroom/db/catalog"
	"greenroom/db/pg"
)

func TestName(t *testing.T) {
	b := setup(t)
	p := b.position()
	for name, want := range map[string][2]string{
		"Ada Byron": {"Ada", "Byron"}, "  Ada  King  Byron ": {"Ada", "King Byron"}, "Plato": {"Plato", ""},
	} {
		c := b.Do("POST", candidatesOf(p), object{"name": name, "email": strings.Fields(name)[0] + pg.NewID().String() + "@example.com"}).
			Is(http.StatusCreated)
		require.Equal(t, want, [2]string{c["firstName"].(string), c["lastName"].(string)}, name)
		require.Equal(t, strings.Join(strings.Fields(name), " "), c["name"])
	}
}

func TestSamePersonIsOneCandidate(t *testing.T) {
	b := setup(t)
	p := b.position()
	first := b.invited(p)
	require.Equal(t, false, first["existing"])

	t.Run("the_same_invitation_is_given_again", func(t *testing.T) {
		before := b.events()
		again := b.Do("POST", candidatesOf(p), ada(object{"email": "ADA@example.com", "firstName": "Augusta"})).
			Is(http.StatusOK)
		require.Equal(t, with(object{}, first, object{"existing": true}), again)
		require.Equal(t, before, b.events(), "nothing has happened")
	})
	t.Run("another_end_of_it_is_a_conflict", func(*testing.T) {
		b.leaves(func() {
			refused(b.Do("POST", candidatesOf(p), ada(object{"expiresAt": time.Now().Add(time.Hour)})),
				http.StatusConflict, "INVALID_STATE", "expiresAt")
		})
		b.Do("POST", candidatesOf(p), ada(object{"expiresAt": first["invitationExpiresAt"]})).Is(http.StatusOK)
	})
	t.Run("adding_without_an_invitation_changes_nothing", func(t *testing.T) {
		got := b.Do("POST", candidatesOf(p), ada(object{"invite": false})).Is(http.StatusOK)
		require.Equal(t, first["interviewId"], got["interviewId"])
	})
	t.Run("is_added_to_another_position", func(t *testing.T) {
		other := b.position()
		got := b.Do("POST", candidatesOf(other), ada()).Is(http.StatusCreated)
		require.Equal(t, first["id"], got["id"])
		require.Equal(t, true, got["existing"])
		require.NotEqual(t, first["interviewId"], got["interviewId"])
		require.Len(t, b.items(candidatesOf(other)), 1)
	})
	t.Run("is_added_without_an_event_of_this_contract_when_nobody_is_invited_or_created", func(t *testing.T) {
		other := b.position()
		before := b.events()
		b.Do("POST", candidatesOf(other), ada(object{"invite": false})).Is(http.StatusCreated)
		require.Equal(t, append(before, catalog.CandidateUpdated), b.events(), "which the interview suite has")
	})
	t.Run("another_company_has_its_own", func(t *testing.T) {
		theirs := b.As(b.OtherKey, "POST", positions, object{"title": "Cook"}).Is(http.StatusCreated)
		got := b.As(b.OtherKey, "POST", candidatesOf(theirs), ada()).Is(http.StatusCreated)
		require.Equal(t, false, got["existing"])
		require.NotEqual(t, first["id"], got["id"])
	})
}

func TestFinishedCandidateCanBeInvitedAgain(t *testing.T) {
	b := setup(t)
	p := b.position()
	first := b.invited(p)
	b.candidate(first, "start", nil)
	got := b.Do("POST", candidatesOf(p), ada()).Is(http.StatusOK)
	require.Equal(t, first["inviteUrl"], got["inviteUrl"], "an interview that is being held is not another one")
	require.NotNil(t, got["startedAt"])
	b.candidate(first, "submit", object{"answers": []object{}})
	shown := b.items(candidatesOf(p))[0]
	require.Nil(t, shown["inviteUrl"])
	require.Equal(t, "COMPLETED", shown["interviewStatus"])
	require.NotNil(t, shown["completedAt"])
	require.NotEqual(t, first["interviewId"], b.invited(p)["interviewId"])
}

func TestOnePersonInvitedManyTimesAtOnce(t *testing.T) {
	b := setup(t)
	places := []object{b.position(), b.position()}
	statuses := make(chan int, 8)
	for i := range cap(statuses) {
		go func() { statuses <- b.Do("POST", candidatesOf(places[i%2]), ada()).Status }()
	}
	for range cap(statuses) {
		require.Contains(t, []int{http.StatusCreated, http.StatusOK}, <-statuses)
	}
	rows := b.rows()
	require.Equal(t, 1, rows["candidates"])
	require.Equal(t, 2, rows["interviews"])
	require.Equal(t, 2, rows["agents"])
}

func TestExpiry(t *testing.T) {
	b := setup(t)
	p := b.position()
	end := time.Now().UTC().Add(48 * time.Hour).Truncate(time.Second)
	c := b.invited(p, object{"expiresAt": end.In(time.FixedZone("", 3600))})
	require.Equal(t, end.Format("2006-01-02T15:04:05.000Z"), c["invitationExpiresAt"])

	_, err := b.ExecContext(b.Ctx, "UPDATE interviews SET deadline_at = now() - interval '1 second'")
	require.NoError(t, err)
	require.Nil(t, b.items(candidatesOf(p))[0]["inviteUrl"], "it cannot be begun any more")
	require.NotEqual(t, c["interviewId"], b.invited(p)["interviewId"])
}

func TestClosedPosition(t *testing.T) {
	b := setup(t)
	p := b.position(object{"status": "closed"})
	b.leaves(func() { refused(b.Do("POST", candidatesOf(p), ada()), http.StatusConflict, "INVALID_STATE") })
	b.invited(p, object{"invite": false})
}

func TestRemoval(t *testing.T) {
	t.Parallel()
	holds(t, []row{
		{"of_the_last_position_deletes_the_candidate", func(t *testing.T, b *bundle) {
			p := b.position()
			c := b.invited(p)
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", candidatesOf(p)+"/"+idOf(c), nil).Status)
			require.Equal(t, http.StatusNotFound, b.Do("GET", "/candidates/"+idOf(c), nil).Status)
			require.Equal(t, "CANCELED", b.interviewStatus(c))
			require.Contains(t, b.events(), "interview.canceled")
			require.Equal(t, false, b.invited(p)["existing"], "who was deleted is not known any more")
		}},
		{"of_one_of_several_leaves_the_others", func(t *testing.T, b *bundle) {
			p, other := b.position(), b.position()
			c := b.invited(p)
			there := b.Do("POST", candidatesOf(other), ada()).Is(http.StatusCreated)
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", candidatesOf(p)+"/"+idOf(c), nil).Status)
			require.Empty(t, b.items(candidatesOf(p)))
			require.Len(t, b.items(candidatesOf(other)), 1)
			require.Equal(t, "CANCELED", b.interviewStatus(c))
			require.Equal(t, "SCHEDULED", b.interviewStatus(there))
		}},
		{"lets_an_interview_that_has_begun_go_on", func(t *testing.T, b *bundle) {
			p := b.position()
			c := b.invited(p)
			b.candidate(c, "start", nil)
			require.Equal(t, http.StatusNoContent, b.Do("DELETE", candidatesOf(p)+"/"+idOf(c), nil).Status)
			require.Equal(t, "IN_PROGRESS", b.interviewStatus(c))
		}},
		{"happens_once", func(t *testing.T, b *bundle) {
			p := b.position()
			path := candidatesOf(p) + "/" + idOf(b.invited(p))
			statuses := make(chan int, 4)
			for range 4 {
				go func() { statuses <- b.Do("DELETE", path, nil).Status }()
			}
			gone := 0
			for range 4 {
				if <-statuses == http.StatusNoContent {
					gone++
				}
			}
			require.Equal(t, 1, gone)
		}},
	})
}

func (b *bundle) interviewStatus(c object) (status string) {
	b.T.Helper()
	require.NoError(b.T, b.NewRaw("SELECT status FROM interviews WHERE id = ?", c["interviewId"]).Scan(b.Ctx, &status))
	return status
}

func TestIdempotency(t *testing.T) {
	b := setup(t)
	same := func(path string, body object) {
		first := b.Do("POST", path, body, "Idempotency-Key", path)
		first.Is(http.StatusCreated)
		b.leaves(func() {
			again := b.Do("POST", path, body, "Idempotency-Key", path)
			require.Equal(t, string(first.Body), string(again.Body))
			require.Equal(t, http.StatusCreated, again.Status)
			require.Equal(t, "true", again.Header.Get("Idempotency-Replayed"))
		})
		refused(b.Do("POST", path, with(object{"metadata": object{"a": 1}}, body), "Idempotency-Key", path),
			http.StatusConflict, "IDEMPOTENCY_CONFLICT")
	}
	same(positions, object{"title": "Cook"})
	p, other := b.position(), b.position()
	same(candidatesOf(p), ada())
	refused(
		b.Do("POST", candidatesOf(other), ada(), "Idempotency-Key", candidatesOf(p)),
		http.StatusConflict,
		"IDEMPOTENCY_CONFLICT",
	)
}

// TestScopes: each route asks for its own, and for those of what else it shows or makes.
func TestScopes(t *testing.T) {
	b := setup(t)
	p := b.position()
	key := func(scopes ...string) string { plain, _ := b.NewKey(&b.Company, scopes...); return plain }
	needs := func(r apitest.Response, scope string) {
		e := refused(r, http.StatusForbidden, "INSUFFICIENT_PERMISSIONS")
		require.Equal(t, scope, e["details"].(object)["requiredScope"])
	}
	needs(b.As(key("read:candidates"), "GET", positions, nil), "read:jobs")
	needs(b.As(key("read:jobs"), "POST", positions, object{"title": "Cook"}), "write:jobs")
	needs(b.As(key("write:jobs"), "DELETE", positions+"/"+idOf(p), nil), "delete:jobs")
	needs(b.As(key("read:candidates", "read:jobs"), "GET", candidatesOf(p), nil), "read:interviews")
	inviter := []string{"write:candidates", "read:jobs", "read:interviews"}
	needs(b.As(key(inviter...), "POST", candidatesOf(p), ada()), "write:interviews")
	b.As(key(inviter...), "POST", candidatesOf(p), ada(object{"invite": false})).Is(http.StatusCreated)
	b.As(key(append(inviter, "write:interviews")...), "POST", candidatesOf(p), ada()).Is(http.StatusCreated)
}

// TestPlatformKey: it names the company for what it makes, and sees all without.
func TestPlatformKey(t *testing.T) {
	b := setup(t)
	refused(
		b.As(b.PlatformKey, "POST", positions, object{"title": "Cook"}),
		http.StatusBadRequest,
		"MISSING_REQUIRED_FIELD",
		"companyId",
	)
	p := b.As(b.PlatformKey, "POST", positions+"?companyId="+b.Company.String(), object{"title": "Cook"}).
		Is(http.StatusCreated)
	b.Do("GET", positions+"/"+idOf(p), nil).Is(http.StatusOK)
	b.As(b.PlatformKey, "GET", positions+"/"+idOf(p), nil).Is(http.StatusOK)
	refused(
		b.As(b.PlatformKey, "GET", positions+"/"+idOf(p)+"?companyId="+b.Other.String(), nil),
		http.StatusNotFound,
		"RESOURCE_NOT_FOUND",
	)
	w := b.As(b.PlatformKey, "POST", webhooks+"?companyId="+b.Company.String(), object{"url": "https://example.com/h", "events": allEvents}).
		Is(http.StatusCreated)
	require.Equal(t, idOf(w), idOf(b.items(webhooks)[0]))
	refused(b.As(b.OtherKey, "DELETE", webhooks+"/"+idOf(w), nil), http.StatusNotFound, "RESOURCE_NOT_FOUND")
}

// TestInviteToDeletedPosition: a position that is deleted between the check and the transaction gets no candidate.
func TestInviteToDeletedPosition(t *testing.T) {
	b := setup(t)
	p := b.position()
	b.Tx(func(tx bun.Tx) error {
		_, err := tx.ExecContext(b.Ctx, "UPDATE jobs SET deleted_at = now() WHERE id = ?", idOf(p))
		return err
	})
	b.leaves(func() { refused(b.Do("POST", candidatesOf(p), ada()), http.StatusNotFound, "RESOURCE_NOT_FOUND") })
}

// TestInviteOfDeletedCandidate: a candidate who is deleted during the invitation is not half invited; the caller may
// try again.
func TestInviteOfDeletedCandidate(t *testing.T) {
	b := setup(t)
	p := b.position()
	c := b.invited(p)
	answer := make(chan apitest.Response, 1)
	b.Tx(func(tx bun.Tx) error {
		if err := db.DeleteCandidate(b.Ctx, tx, uuid.MustParse(idOf(c))); err != nil {
			return err
		}
		go func() { answer <- b.Do("POST", candidatesOf(p), ada()) }()
		require.Eventually(t, func() bool {
			var waits bool
			err := b.NewRaw(`SELECT EXISTS (SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`).
				Scan(b.Ctx, &waits)
			return err == nil && waits
		}, 10*time.Second, 5*time.Millisecond)
		return nil
	})
	refused(<-answer, http.StatusConflict, "CONFLICT")
	require.Equal(t, false, b.invited(p)["existing"])
}
