package webhook_test

import (
	"net/http"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"greenroom/activities/webhook"
)

func TestClassify(t *testing.T) {
	t.Parallel()
	only200 := &webhook.Profile{Success: func(status int) bool { return status == http.StatusOK }}
	anyStatus := &webhook.Profile{Success: func(int) bool { return true }}
	standard := profile(t, "standard")
	for _, tc := range []struct {
		name    string
		profile *webhook.Profile
		got     webhook.Response
		want    webhook.Outcome
	}{
		{"200", standard, webhook.Response{StatusCode: 200}, webhook.Succeeded},
		{"204", standard, webhook.Response{StatusCode: 204}, webhook.Succeeded},
		{"204_where_only_200_counts", only200, webhook.Response{StatusCode: 204}, webhook.Retry},
		{"redirect", standard, webhook.Response{StatusCode: 302, ErrorKind: webhook.KindRedirect}, webhook.Retry},
		{
			"redirect_under_a_lenient_profile", anyStatus,
			webhook.Response{StatusCode: 302, ErrorKind: webhook.KindRedirect},
			webhook.Retry,
		},
		{"400", standard, webhook.Response{StatusCode: 400}, webhook.Retry},
		{"401", standard, webhook.Response{StatusCode: 401}, webhook.Retry},
		{"404", standard, webhook.Response{StatusCode: 404}, webhook.Retry},
		{"410", standard, webhook.Response{StatusCode: 410}, webhook.Gone},
		{"410_under_a_lenient_profile", anyStatus, webhook.Response{StatusCode: 410}, webhook.Gone},
		{"429", standard, webhook.Response{StatusCode: 429, RetryAfter: time.Minute}, webhook.Retry},
		{"500", standard, webhook.Response{StatusCode: 500}, webhook.Retry},
		{"503", standard, webhook.Response{StatusCode: 503}, webhook.Retry},
		{"no_answer", standard, webhook.Response{ErrorKind: webhook.KindTimeout}, webhook.Retry},
		{"blocked", standard, webhook.Response{ErrorKind: webhook.KindBlocked}, webhook.Retry},
		{"nothing_at_all", standard, webhook.Response{}, webhook.Retry},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			assert.Equal(t, tc.want.String(), webhook.Classify(tc.profile, tc.got).String())
		})
	}
}
