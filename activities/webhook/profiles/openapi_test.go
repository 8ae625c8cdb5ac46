package profiles_test

import (
	"bytes"
	"encoding/json"
	"net/textproto"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"greenroom/activities/webhook"
	"greenroom/activities/webhook/profiles"
	"greenroom/db/catalog"
)

// contract is the OpenAPI file as the tests need it.
type contract struct {
	Webhooks map[string]struct {
		Post struct {
			Tags       []string
			Parameters []struct {
				Ref string `json:"$ref"`
			}
			RequestBody struct {
				Content map[string]struct {
					Schema   json.RawMessage
					Examples map[string]struct{ Value json.RawMessage }
				}
			}
			Responses map[string]any
		}
	}
	Components struct {
		Parameters map[string]struct {
			Name     string
			Required bool
		}
	}

	compiler *jsonschema.Compiler
}

const contractURL = "https://greenroom.example.com/openapi/webhooks.yaml"

func loadContract(t testing.TB) *contract {
	t.Helper()
	var parsed any
	require.NoError(t, yaml.Unmarshal(profiles.OpenAPI(), &parsed))
	raw, err := json.Marshal(parsed)
	require.NoError(t, err)
	c := &contract{compiler: jsonschema.NewCompiler()}
	require.NoError(t, json.Unmarshal(raw, c))
	c.compiler.DefaultDraft(jsonschema.Draft2020)
	c.compiler.AssertFormat()
	doc, err := jsonschema.UnmarshalJSON(bytes.NewReader(raw))
	require.NoError(t, err)
	require.NoError(t, c.compiler.AddResource(contractURL, doc))
	return c
}

func (c *contract) schema(t testing.TB, path ...string) *jsonschema.Schema {
	t.Helper()
	pointer := "#"
	for _, p := range path {
		pointer += "/" + strings.ReplaceAll(strings.ReplaceAll(p, "~", "~0"), "/", "~1")
	}
	s, err := c.compiler.Compile(contractURL + pointer)
	require.NoError(t, err)
	return s
}

// TestContractIsOpenAPI validates the contract with a public OpenAPI library.
func TestContractIsOpenAPI(t *testing.T) {
	t.Parallel()
	doc, err := openapi3.NewLoader().LoadFromData(profiles.OpenAPI())
	require.NoError(t, err)
	require.NoError(t, doc.Validate(t.Context()))
	require.NotEmpty(t, doc.Webhooks)
}

// TestContractDescribesEveryDelivery validates each recorded body and its headers against the contract.
func TestContractDescribesEveryDelivery(t *testing.T) {
	t.Parallel()
	c := loadContract(t)
	described := map[string]bool{}
	for _, p := range profiles.All() {
		for _, e := range p.Events {
			described[p.Name+"/"+e.Name] = true
		}
		for _, g := range goldens(t, p) {
			if g.m.EventType == catalog.Ping && !p.Takes(catalog.Ping) {
				continue // a test call's
			}
			name := p.Name + "/" + g.m.EventName
			entry, found := c.Webhooks[name]
			require.True(t, found, "%s is not in openapi.yaml", name)
			require.Equal(t, []string{p.Name}, entry.Post.Tags)
			require.Equal(t, p.Success(204), entry.Post.Responses["2XX"] != nil, name)
			require.Equal(t, !p.Success(204), entry.Post.Responses["200"] != nil, name)

			body, err := os.ReadFile(filepath.Join("testdata", "golden", p.Name, g.file+".body"))
			require.NoError(t, err)
			if !strings.HasSuffix(g.file, ".published") {
				fits(t, c.schema(t, "webhooks", name, "post", "requestBody", "content", "application/json", "schema"), body)
				example := entry.Post.RequestBody.Content["application/json"].Examples[g.m.EventType].Value
				require.JSONEq(t, string(body), string(example), name)
			} else if envelope := envelopeOf(t, entry.Post.RequestBody.Content["application/json"].Schema); envelope != "" {
				fits(t, c.schema(t, "components", "schemas", envelope), body)
			}
			c.checkHeaders(t, p, &g)
		}
	}
	for name := range c.Webhooks {
		require.True(t, described[name], "%s is in openapi.yaml, and no profile has it", name)
	}
}

// envelopeOf returns the name of the schema that the bodies of a profile's events share; empty if there is none.
func envelopeOf(t testing.TB, schema json.RawMessage) string {
	t.Helper()
	var s struct {
		AllOf []struct {
			Ref string `json:"$ref"`
		}
	}
	require.NoError(t, json.Unmarshal(schema, &s))
	if len(s.AllOf) == 0 {
		return ""
	}
	return filepath.Base(s.AllOf[0].Ref)
}

func (c *contract) checkHeaders(t *testing.T, p *webhook.Profile, g *golden) {
	t.Helper()
	sent := map[string]bool{"Content-Type": true, "User-Agent": true}
	r := webhook.Request{
		Profile:     p,
		Message:     g.m,
		Body:        []byte("{}"),
		Secrets:     webhook.Secrets{testSecret(1), testSecret(2)},
		SigningKeys: webhook.SigningKeys{webhook.GenerateSigningKey(), webhook.GenerateSigningKey()},
		Key:         webhook.KeyOf(testSecret(1), true),
	}
	h, err := r.Header(profiles.SampleAt)
	require.NoError(t, err)
	for _, parameter := range c.Webhooks[p.Name+"/"+g.m.EventName].Post.Parameters {
		id := filepath.Base(parameter.Ref)
		name := c.Components.Parameters[id].Name
		require.NotEmpty(t, h.Values(name), "%s of %s", name, p.Name)
		require.NoError(t, c.schema(t, "components", "parameters", id, "schema").Validate(h.Get(name)))
		sent[textproto.CanonicalMIMEHeaderKey(name)] = true
	}
	for name := range h {
		require.True(t, sent[name], "%s of %s is not described", name, p.Name)
	}
}
