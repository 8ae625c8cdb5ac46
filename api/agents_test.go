package api_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

func TestAgents(t *testing.T) {
	t.Parallel()
	b := setup(t)
	full := object{
		"name":                 "Screening",
		"type":                 "PHONE",
		"focus":                "LANGUAGE_TEST",
		"language":             "SK",
		"duration":             30.0,
		"questions":            []any{"Prečo?"},
		"instructions":         "Be kind",
		"voiceId":              "v1",
		"companyPhoneNumberId": "p1",
		"cefrLevel":            "B2",
		"metadata":             object{"a": 1.0},
	}
	t.Run("2.14_all_fields_come_back", func(t *testing.T) {
		got := b.made("/agents", object{}, full)
		for field, value := range full {
			require.Equal(t, value, got[field], field)
		}
		require.Equal(t, b.company.String(), got["companyId"])
		require.Equal(t, got, b.get("/agents/"+idOf(got)))
	})
	t.Run("defaults", func(t *testing.T) {
		got := b.made("/agents", object{"name": "A", "type": "ONLINE"})
		require.Equal(t, "SCREENING", got["focus"])
		require.Equal(t, "EN", got["language"])
		require.EqualValues(t, 15, got["duration"])
		require.Equal(t, []any{}, got["questions"])
	})
	t.Run("update_changes_only_what_is_sent", func(t *testing.T) {
		id := idOf(b.made("/agents", object{}, full))
		got := b.do("PATCH", "/agents/"+id, object{"duration": 5, "questions": []any{}, "voiceId": nil, "type": "ONLINE"}).
			is(200)
		require.EqualValues(t, 5, got["duration"])
		require.Equal(t, "ONLINE", got["type"])
		require.Equal(t, []any{}, got["questions"])
		require.Nil(t, got["voiceId"])
		require.Equal(t, "Be kind", got["instructions"])
		require.Equal(t, got, b.get("/agents/"+id))
	})
	t.Run("list_filters_and_delete", func(t *testing.T) {
		b := setup(t)
		phone, online := b.agent("PHONE"), b.agent("ONLINE", object{"focus": "OUTREACH"})
		require.Equal(t, []object{phone}, b.do("GET", "/agents?type=PHONE", nil).items())
		require.Equal(t, []object{online}, b.do("GET", "/agents?focus=OUTREACH", nil).items())
		require.Equal(t, []object{online, phone}, b.do("GET", "/agents", nil).items(), "newest first")
		b.do("GET", "/agents?type=FAX", nil).fails(400, "VALIDATION_ERROR", "type")
		b.do("GET", "/agents?focus=no+word", nil).fails(400, "VALIDATION_ERROR", "focus")
		require.Equal(t, 200, b.do("DELETE", "/agents/"+idOf(phone), nil).Status)
		b.do("GET", "/agents/"+idOf(phone), nil).fails(404, "RESOURCE_NOT_FOUND")
		require.Equal(t, []object{online}, b.do("GET", "/agents", nil).items())
	})
	t.Run("limits", func(t *testing.T) {
		id := idOf(b.agent("PHONE"))
		for field, bad := range map[string]any{
			"name": strings.Repeat("x", 256), "type": "FAX", "focus": "screening", "language": "english please", "duration": 0,
			"questions[0]": []string{""}, "questions": make([]string, 51), "instructions": strings.Repeat("x", 10001),
			"voiceId": strings.Repeat("x", 256), "companyPhoneNumberId": strings.Repeat("x", 256), "cefrLevel": "D1", "metadata": "x",
		} {
			name, _, _ := strings.Cut(field, "[")
			b.do("POST", "/agents", object{"name": "A", "type": "PHONE", name: bad}).fails(400, "VALIDATION_ERROR", field)
			b.do("PATCH", "/agents/"+id, object{name: bad}).fails(400, "VALIDATION_ERROR", field)
		}
		for _, duration := range []any{241, 1.5, "15", -1, 1e300, true} {
			b.do("POST", "/agents", object{"name": "A", "type": "PHONE", "duration": duration}).
				fails(400, "VALIDATION_ERROR", "duration")
		}
		b.do("POST", "/agents", object{"type": "PHONE"}).fails(400, "MISSING_REQUIRED_FIELD", "name")
		b.do("POST", "/agents", object{"name": "A"}).fails(400, "MISSING_REQUIRED_FIELD", "type")
		b.refuses("POST", "/agents", badBodies("name"))
		b.refuses("PATCH", "/agents/"+id, badBodies("name"))
	})
}
