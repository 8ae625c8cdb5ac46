package apitest

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"strings"
	"sync"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/getkin/kin-openapi/routers"
	"github.com/getkin/kin-openapi/routers/gorillamux"
	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"greenroom/api/openapi"
)

// contract is an OpenAPI file in three forms: for kin-openapi, which validates the file and finds operations; as JSON,
// for lookups; and for a JSON Schema 2020-12 validator, because OpenAPI 3.1 uses that dialect.
type contract struct {
	doc      *openapi3.T
	router   routers.Router
	raw      any
	compiler *jsonschema.Compiler

	mu      sync.Mutex
	schemas map[string]*jsonschema.Schema
}

var contracts sync.Map // by name

func contractOf(name string) (*contract, error) {
	load := sync.OnceValues(func() (*contract, error) { return readContract(name) })
	known, _ := contracts.LoadOrStore(name, load)
	return known.(func() (*contract, error))() //nolint:forcetypeassert // nothing else is stored there
}

// documentURL is the base URL of the validator; nothing is fetched from it.
const documentURL = "contract:///openapi.json"

func readContract(name string) (*contract, error) {
	served, err := openapi.Read(name, "")
	if err != nil {
		return nil, err
	}
	file, err := served.YAML()
	if err != nil {
		return nil, fmt.Errorf("write %s.yaml: %w", name, err)
	}
	k := &contract{compiler: jsonschema.NewCompiler(), schemas: map[string]*jsonschema.Schema{}}
	if k.doc, err = openapi3.NewLoader().LoadFromData(file); err != nil {
		return nil, fmt.Errorf("read %s.yaml: %w", name, err)
	}
	if err := k.doc.Validate(context.Background()); err != nil {
		return nil, fmt.Errorf("%s.yaml is not valid: %w", name, err)
	}
	if k.router, err = gorillamux.NewRouter(k.doc); err != nil {
		return nil, fmt.Errorf("route %s.yaml: %w", name, err)
	}
	if k.raw, err = asJSON(file); err != nil {
		return nil, fmt.Errorf("read %s.yaml: %w", name, err)
	}
	k.compiler.DefaultDraft(jsonschema.Draft2020)
	k.compiler.AssertFormat()
	return k, k.compiler.AddResource(documentURL, k.raw)
}

func asJSON(file []byte) (any, error) {
	var tree any
	if err := yaml.Unmarshal(file, &tree); err != nil {
		return nil, err
	}
	raw, err := json.Marshal(tree)
	if err != nil {
		return nil, err
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(raw))
}

func (k *contract) schema(at string) (*jsonschema.Schema, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if s, known := k.schemas[at]; known {
		return s, nil
	}
	s, err := k.compiler.Compile(documentURL + "#" + (&url.URL{Path: at}).EscapedPath())
	if err != nil {
		return nil, fmt.Errorf("schema %s: %w", at, err)
	}
	k.schemas[at] = s
	return s, nil
}

// node returns the object at a pointer and, with references resolved, its own pointer.
func (k *contract) node(at string) (map[string]any, string, error) {
	here, path := k.raw, ""
	steps := strings.Split(strings.TrimPrefix(at, "/"), "/")
	for i := 0; ; i++ {
		if object, is := here.(map[string]any); is {
			if ref, is := object["$ref"].(string); is {
				return k.node(strings.TrimPrefix(ref, "#") + strings.TrimSuffix("/"+strings.Join(steps[i:], "/"), "/"))
			}
		}
		if i == len(steps) {
			break
		}
		key := strings.NewReplacer("~1", "/", "~0", "~").Replace(steps[i])
		switch parent := here.(type) {
		case map[string]any:
			here = parent[key]
		case []any:
			n, err := strconv.Atoi(key)
			if err != nil || n >= len(parent) {
				return nil, "", fmt.Errorf("nothing at %s", at)
			}
			here = parent[n]
		default:
			return nil, "", fmt.Errorf("nothing at %s", at)
		}
		path += "/" + steps[i]
	}
	object, is := here.(map[string]any)
	if !is {
		return nil, "", fmt.Errorf("nothing at %s", at)
	}
	return object, path, nil
}
