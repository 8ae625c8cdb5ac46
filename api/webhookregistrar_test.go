package api_test

import (
	"net/http"
	"testing"

	"github.com/stretchr/testify/require"

	"greenroom/api"
)

// TestRegistrar: the operator registers webhooks of the interview suite, for one company each, and companies only if the
// operator lets them.
func TestRegistrar(t *testing.T) {
	t.Parallel()
	body := func(more object) object {
		o := object{"url": hookURL, "profile": "interview-suite", "events": []string{"candidate_changed"}}
		for k, v := range more {
			o[k] = v
		}
		return o
	}
	t.Run("a_company_is_refused", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		for _, more := range []object{nil, {"companyId": b.company}} {
			r := b.do("POST", "/webhooks", body(more)).fails(http.StatusForbidden, "RESOURCE_ACCESS_DENIED", "profile")
			require.Equal(t, "Webhooks of the profile interview-suite are registered by the operator: ask for one with event "+
				"and url", r.Error.Message)
		}
		n, err := b.NewSelect().Table("webhooks").Count(b.ctx)
		require.NoError(t, err)
		require.Zero(t, n)
	})
	t.Run("the_operator_is_not", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		made := b.as(b.platformKey, "POST", "/webhooks", body(object{"companyId": b.company})).is(http.StatusCreated)
		require.Equal(t, b.company.String(), made["companyId"])
		b.do("PATCH", "/webhooks/"+idOf(made), object{"name": "ATS"}).is(http.StatusOK)
	})
	t.Run("nor_a_company_that_may", func(t *testing.T) {
		t.Parallel()
		b := setup(t, func(o *api.Options) { o.SelfService = true })
		b.do("POST", "/webhooks", body(nil)).is(http.StatusCreated)
		for _, p := range b.do("GET", "/profiles", nil).items() {
			require.Equal(t, true, p["selfService"], p["name"])
		}
	})
}
