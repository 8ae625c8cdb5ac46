package apitest

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/openapi3filter"
	"github.com/getkin/kin-openapi/routers"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"greenroom/api/surface"
)

// keepsContract returns an error if the answer or its request violates the contract of the surface.
func keepsContract(s *surface.Surface, req *http.Request, sent []byte, r *Response) error {
	k, err := contractOf(s.Name)
	if err != nil {
		return err
	}
	plain := req.Clone(req.Context())
	plain.URL.Path, plain.URL.RawPath = s.Plain(req.URL.Path), s.Plain(req.URL.RawPath)
	route, params, err := k.router.FindRoute(plain)
	if err != nil {
		return k.refusesUnknown(r)
	}
	operation := pointer("paths", route.Path, strings.ToLower(route.Method))
	if err := k.answers(operation, route.Method, r); err != nil {
		return err
	}
	if r.Status >= http.StatusMultipleChoices || r.Status == http.StatusMultiStatus { // refused, entirely or in part
		return nil
	}
	return k.asked(operation, plain, sent, route, params)
}

// refusesUnknown requires a refusal for a request that the contract has no operation for.
func (k *contract) refusesUnknown(r *Response) error {
	if r.Status != http.StatusNotFound && r.Status != http.StatusMethodNotAllowed {
		return errors.New("the contract has no such operation")
	}
	return k.fits(pointer("components", "responses", "Error"), r)
}

// answers finds the response for the status as OpenAPI says: the status itself, its class ("4XX"), or "default".
func (k *contract) answers(operation, method string, r *Response) error {
	status := strconv.Itoa(r.Status)
	for _, name := range []string{status, status[:1] + "XX", "default"} {
		at := operation + pointer("responses", name)
		if _, _, err := k.node(at); err == nil {
			if method == http.MethodHead {
				return nil
			}
			return k.fits(at, r)
		}
	}
	return fmt.Errorf("status %d is not documented", r.Status)
}

// fits checks an answer against the response object at that pointer.
func (k *contract) fits(response string, r *Response) error {
	node, response, err := k.node(response)
	if err != nil {
		return err
	}
	headers, _ := node["headers"].(map[string]any)
	for name, h := range headers {
		if described, _ := h.(map[string]any); described["required"] == true && r.Header.Get(name) == "" {
			return fmt.Errorf("the header %s is missing", name)
		}
	}
	content, _ := node["content"].(map[string]any)
	if len(content) == 0 {
		if len(r.Body) > 0 {
			return errors.New("a body is not documented")
		}
		return nil
	}
	return k.bodyFits(response+pointer("content"), content, r.Header.Get("Content-Type"), r.Body, true)
}

// bodyFits checks a body against the schema of its media type. Only JSON has a schema.
func (k *contract) bodyFits(at string, content map[string]any, contentType string, body []byte, documented bool) error {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return fmt.Errorf("content type %q: %w", contentType, err)
	}
	kind, _, _ := strings.Cut(media, "/")
	for _, name := range []string{media, kind + "/*", "*/*"} {
		if _, found := content[name]; !found {
			continue
		}
		if media != "application/json" {
			return nil
		}
		return k.matches(at+pointer(name, "schema"), body, documented)
	}
	return fmt.Errorf("the content type %s is not documented", media)
}

// matches checks JSON against the schema at that pointer; documented requires that the schema has each of its fields.
func (k *contract) matches(schema string, body []byte, documented bool) error {
	compiled, err := k.schema(schema)
	if err != nil {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("read body: %w", err)
	}
	if err := compiled.Validate(value); err != nil {
		return err
	}
	if !documented {
		return nil
	}
	if extra := k.undocumented([]string{schema}, value, ""); len(extra) > 0 {
		return fmt.Errorf("fields that are not documented: %s", strings.Join(extra, ", "))
	}
	return nil
}

// uuidFormat: by default, kin-openapi does not check this format in parameters.
var uuidFormat = openapi3.NewRegexpFormatValidator(openapi3.FormatOfStringForUUIDOfRFC9562)

// asked checks the request of a 2xx answer against the operation.
func (k *contract) asked(
	operation string,
	req *http.Request,
	sent []byte,
	route *routers.Route,
	params map[string]string,
) error {
	in := &openapi3filter.RequestValidationInput{
		Request: req, PathParams: params, Route: route,
		Options: &openapi3filter.Options{
			ExcludeRequestBody: true, SkipSettingDefaults: true, AuthenticationFunc: openapi3filter.NoopAuthenticationFunc,
			SchemaValidationOptions: []openapi3.SchemaValidationOption{openapi3.WithStringFormatValidator("uuid", uuidFormat)},
		},
	}
	if err := openapi3filter.ValidateRequest(req.Context(), in); err != nil {
		return fmt.Errorf("asked: %w", err)
	}
	body, at, err := k.node(operation + pointer("requestBody"))
	if err != nil { // the operation has no body and ignores it
		return nil
	}
	if len(bytes.TrimSpace(sent)) == 0 {
		if body["required"] == true {
			return errors.New("asked: the body is required, and missing")
		}
		return nil
	}
	contentType := req.Header.Get("Content-Type")
	if contentType == "" { // a missing Content-Type means JSON
		contentType = "application/json"
	}
	content, _ := body["content"].(map[string]any)
	if err := k.bodyFits(at+pointer("content"), content, contentType, sent, false); err != nil {
		return fmt.Errorf("asked: %w", err)
	}
	return nil
}

// undocumented returns the fields of a value that none of the schemas has; the value must match all of them together. A
// schema without properties, or with additionalProperties, allows any field.
func (k *contract) undocumented(schemas []string, value any, path string) []string {
	parts := k.parts(schemas)
	var out []string
	switch value := value.(type) {
	case []any:
		for i, v := range value {
			out = append(out, k.undocumented(below(parts, "items"), v, path+"["+strconv.Itoa(i)+"]")...)
		}
	case map[string]any:
		if isOpen(parts) {
			return nil
		}
		for name, v := range value {
			known := below(parts, "properties", name)
			if len(known) == 0 {
				out = append(out, strings.TrimPrefix(path+"."+name, "."))
				continue
			}
			out = append(out, k.undocumented(known, v, strings.TrimPrefix(path+"."+name, "."))...)
		}
	}
	return out
}

// part is a schema that applies to a value, alone or combined with others.
type part struct {
	at   string
	node map[string]any
}

// parts resolves references and splits combined schemas.
func (k *contract) parts(schemas []string) []part {
	var out []part
	for _, at := range schemas {
		node, at, err := k.node(at)
		if err != nil {
			continue // true or false: has no fields
		}
		out = append(out, part{at, node})
		for _, word := range []string{"allOf", "anyOf", "oneOf"} {
			list, _ := node[word].([]any)
			for i := range list {
				out = append(out, k.parts([]string{at + pointer(word, strconv.Itoa(i))})...)
			}
		}
		for _, word := range []string{"then", "else"} {
			if _, found := node[word]; found {
				out = append(out, k.parts([]string{at + pointer(word)})...)
			}
		}
	}
	return out
}

func below(parts []part, keys ...string) []string {
	var out []string
	for _, p := range parts {
		node := any(p.node)
		for _, key := range keys {
			object, _ := node.(map[string]any)
			node = object[key]
		}
		if node != nil {
			out = append(out, p.at+pointer(keys...))
		}
	}
	return out
}

func isOpen(parts []part) bool {
	named := false
	for _, p := range parts {
		if additional, found := p.node["additionalProperties"]; found && additional != false ||
			p.node["patternProperties"] != nil {
			return true
		}
		_, has := p.node["properties"]
		named = named || has
	}
	return !named
}

// pointer returns a JSON pointer (RFC 6901).
func pointer(keys ...string) string {
	var out strings.Builder
	for _, k := range keys {
		out.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(k))
	}
	return out.String()
}
