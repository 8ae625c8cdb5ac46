package profiles_test

import (
	"bytes"
	"encoding/json"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

func schemaOf(t testing.TB, eventType string) *jsonschema.Schema {
	t.Helper()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(profiles.SchemaOf(eventType)))
	require.NoError(t, err)
	c := jsonschema.NewCompiler()
	c.DefaultDraft(jsonschema.Draft2020)
	c.AssertFormat()
	require.NoError(t, c.AddResource("https://greenroom.example.com/"+eventType, doc))
	s, err := c.Compile("https://greenroom.example.com/" + eventType)
	require.NoError(t, err)
	return s
}

func fits(t testing.TB, s *jsonschema.Schema, body []byte) {
	t.Helper()
	v, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	require.NoError(t, err)
	require.NoError(t, s.Validate(v), string(body))
}

// Payloads made from the domain's sessions match the schemas for published events, and so do the samples.
func TestWisePayloadsFitTheirSchemas(t *testing.T) {
	t.Parallel()
	p := profile(t, "wise")
	for _, e := range p.Events {
		schema := schemaOf(t, e.Name)
		for _, eventType := range e.Types {
			for _, withoutJob := range []bool{false, true} {
				m := message(t, p, eventType)
				if m.Context = about(eventType); m.Context != nil && withoutJob {
					m.Context.Job = nil
				}
				require.Equal(t, m.Context == nil, eventType == e.Name)
				body, err := p.Render(m)
				require.NoError(t, err)
				var got struct {
					Event   string
					Payload json.RawMessage
				}
				require.NoError(t, json.Unmarshal(body, &got))
				assert.Equal(t, e.Name, got.Event)
				fits(t, schema, got.Payload)
			}
		}
	}
}

func TestWiseIDs(t *testing.T) {
	t.Parallel()
	p := profile(t, "wise")
	id := func(interview uuid.UUID) string {
		m := message(t, p, catalog.InterviewCanceled)
		m.Context = &catalog.Context{Interview: &catalog.Interview{Object: catalog.Object{ID: interview}}}
		body, err := p.Render(m)
		require.NoError(t, err)
		var got struct {
			Payload struct {
				ID string `json:"_id"`
			}
		}
		require.NoError(t, json.Unmarshal(body, &got))
		return got.Payload.ID
	}
	made := uuid.MustParse("0198c2a4-5b1e-7c3a-9d4f-6e2b8a1c0d11") // 2025-08-19T14:03:27.134Z
	require.Equal(t, "68a4842f9d4f6e2b8a1c0d11", id(made))
	seconds, _ := made.Time().UnixTime()
	require.Equal(t, time.Unix(0x68a4842f, 0), time.Unix(seconds, 0), "an ObjectId begins with its seconds")
	rapid.Check(t, func(t *rapid.T) {
		one := uuid.UUID(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "id"))
		require.Regexp(t, `^[0-9a-f]{24}$`, id(one))
	})
}

func TestWiseRescheduledWithoutData(t *testing.T) {
	t.Parallel()
	p := profile(t, "wise")
	m := message(t, p, catalog.InterviewRescheduled)
	m.Context = about(m.EventType)
	for _, data := range []string{`{}`, `{"scheduledAt":"soon"}`, ``} {
		m.Data = json.RawMessage(data)
		body, err := p.Render(m)
		require.NoError(t, err)
		assert.Contains(t, string(body), `"scheduledStartTime":"2024-01-20T14:30:00.250Z"`)
	}
}
