package surface

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"greenroom/activities/webhook/profiles"
	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
	"greenroom/db/seal"
)

// ruled has a field for each rule.
type ruled struct {
	Greater  float64         `json:"greater" validate:"gt=1"`
	Less     float64         `json:"less" validate:"lt=5"`
	Exact    string          `json:"exact" validate:"omitempty,len=3"`
	Choice   string          `json:"choice" validate:"omitempty,oneof=red green"`
	Day      string          `json:"day" validate:"omitempty,datetime=2006-01-02"`
	Unique   []string        `json:"unique" validate:"unique,max=3,dive,max=2"`
	Email    string          `json:"email" validate:"omitempty,email"`
	Address  string          `json:"address" validate:"omitempty,http_url"`
	Phone    string          `json:"phone" validate:"omitempty,e164"`
	Zone     string          `json:"zone" validate:"omitempty,timezone"`
	Object   json.RawMessage `json:"object" validate:"omitempty,object"`
	Array    json.RawMessage `json:"array" validate:"omitempty,array"`
	Metadata json.RawMessage `json:"metadata" validate:"omitempty,metadata"`
	Word     string          `json:"word" validate:"omitempty,word"`
	Language string          `json:"language" validate:"omitempty,language"`
	Other    string          `json:"other" validate:"omitempty,alpha"`
	Needed   string          `json:"needed" validate:"required"`
	Times    []time.Time     `json:"times"`
	IDs      []uuid.UUID     `json:"ids"`
	Inner    *struct {
		Count Opt[int] `json:"count" validate:"min=1"`
	} `json:"inner"`
}

func TestDecode_says_what_a_field_must_be(t *testing.T) {
	t.Parallel()
	const fine = `"greater":2,"needed":"x"`
	for sent, want := range map[string]string{
		`"greater":1,"needed":"x"`:         "greater must be greater than 1",
		fine + `,"less":5`:                 "less must be less than 5",
		fine + `,"exact":"ab"`:             "exact must be exactly 3 characters",
		fine + `,"exact":"üüü"`:            "",
		fine + `,"choice":"blue"`:          "choice must be one of: red, green",
		fine + `,"day":"2026-02-30"`:       "day must be a date like 2024-01-15",
		fine + `,"unique":["a","a"]`:       "unique must not have duplicates",
		fine + `,"unique":["a","bcd"]`:     "unique[1] must be at most 2 characters",
		fine + `,"unique":["a",null]`:      "unique[1] must not be null",
		fine + `,"unique":"a"`:             "unique must be an array",
		fine + `,"unique":[1]`:             "unique[0] must be a string",
		fine + `,"email":"x@"`:             "email must be a valid e-mail address",
		fine + `,"address":"ftp://x.test"`: "address must be a valid URL",
		fine + `,"phone":"0900 1"`:         "phone must be a phone number with its country code, like +421900123456",
		fine + `,"zone":"Mars/Base"`:       "zone must be a time zone like Europe/Bratislava",
		fine + `,"object":[]`:              "object must be an object",
		fine + `,"array":{}`:               "array must be an array",
		fine + `,"word":"full time"`:       "word must be a word in capitals, like FULL_TIME",
		fine + `,"language":"x"`:           "language must be a language code, like EN or SK",
		fine + `,"language":"pt-BR"`:       "",
		fine + `,"other":"1"`:              "other is not valid",
		`"greater":2,"needed":""`:          "needed must not be empty",
		`"greater":2,"needed":null`:        "needed is required",
		`"greater":2`:                      "needed is required",
		fine + `,"less":"4"`:               "less must be a number",
		fine + `,"less":null`:              "",
		fine + `,"times":["2026-01-02"]`:   "times[0] must be a date and time with an offset",
		fine + `,"times":[5]`:              "times[0] must be a date and time with an offset",
		fine + `,"ids":["x"]`:              "ids[0] must be a UUID",
		fine + `,"ids":[5]`:                "ids[0] must be a UUID",
		fine + `,"inner":5`:                "inner must be an object",
		fine + `,"inner":{"count":0}`:      "inner.count must be at least 1",
		fine + `,"inner":{"count":null}`:   "inner.count must not be null",
		fine + `,"inner":{"count":1.5}`:    "inner.count must be an integer",
		fine + `,"inner":{"Count":1}`:      "inner.Count is not a known field",
		fine + `,"inner":{"count":1}`:      "",
	} {
		t.Run(sent, func(t *testing.T) {
			t.Parallel()
			_, err := Decode[ruled]([]byte("{" + sent + "}"))
			if want == "" {
				require.NoError(t, err)
				return
			}
			var refused *Error
			require.ErrorAs(t, err, &refused)
			require.Equal(t, http.StatusBadRequest, refused.Status)
			require.True(t, strings.HasPrefix(refused.Message, want), refused.Message)
			field, _, _ := strings.Cut(want, " ")
			require.Equal(t, field, refused.Field())
		})
	}
}

func TestMetadata_is_bounded(t *testing.T) {
	t.Parallel()
	nested := func(levels int) string {
		return strings.Repeat(`{"a":`, levels-1) + "{}" + strings.Repeat("}", levels-1)
	}
	withKeys := func(n int) string {
		parts := make([]string, n)
		for i := range parts {
			parts[i] = fmt.Sprintf(`"%d":1`, i)
		}
		return "{" + strings.Join(parts, ",") + "}"
	}
	sized := func(bytes int) string { return `{"a":"` + strings.Repeat("x", bytes-len(`{"a":""}`)) + `"}` }
	for name, tt := range map[string]struct {
		metadata string
		accepted bool
	}{
		"5_levels":                {nested(5), true},
		"6_levels":                {nested(6), false},
		"a_list_is_a_level":       {`{"a":[[[[]]]]}`, true},
		"lists_are_levels":        {`{"a":[[[[[]]]]]}`, false},
		"50_keys":                 {withKeys(50), true},
		"51_keys":                 {withKeys(51), false},
		"keys_of_all_levels":      {`{"a":` + withKeys(25) + `,"b":[` + withKeys(24) + `]}`, false},
		"10_KiB":                  {sized(10 << 10), true},
		"a_byte_more_than_10_KiB": {sized(10<<10 + 1), false},
		"a_list":                  {`[]`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Decode[ruled]([]byte(`{"greater":2,"needed":"x","metadata":` + tt.metadata + `}`))
			if tt.accepted {
				require.NoError(t, err)
				return
			}
			require.ErrorContains(t, err, "metadata must be an object of at most 10 KiB, 5 levels and 50 keys")
		})
	}
}

func TestRule_checks_a_single_value(t *testing.T) {
	t.Parallel()
	require.NoError(t, Rule[ruled]("choice", "red"))
	require.ErrorContains(t, Rule[ruled]("choice", "blue"), "choice must be one of: red, green")
	require.ErrorContains(t, Rule[ruled]("needed", ""), "needed must not be empty")
}

func queried(t *testing.T, query string) *gin.Context {
	t.Helper()
	c, _ := gin.CreateTestContext(httptest.NewRecorder())
	c.Request = httptest.NewRequest(http.MethodGet, "/?"+query, http.NoBody)
	return c
}

func TestQuery_parameters(t *testing.T) {
	t.Parallel()
	for query, want := range map[string]string{
		"limit=0":                  "limit must be an integer between 1 and 100",
		"limit=101":                "limit must be an integer between 1 and 100",
		"limit=":                   "limit must be an integer between 1 and 100",
		"limit=1.0":                "limit must be an integer between 1 and 100",
		"page=0":                   "page must be an integer between 1 and 1000000",
		"page=1000001":             "page must be an integer between 1 and 1000000",
		"page=1000000":             "",
		"limit=100":                "",
		"id=x":                     "id must be a UUID",
		"id=":                      "id must be a UUID",
		"at=2026-01-02":            "at must be",
		"text=%00":                 "text must not contain NUL characters",
		"text=%ff":                 "text must be valid UTF-8",
		"choice=blue":              "choice must be one of the allowed values",
		"choice=":                  "choice must be one of the allowed values",
		"choice=red":               "",
		"word=full":                "word must be a word in capitals, like FULL_TIME",
		"word=FULL_TIME":           "",
		"at=2026-01-02T03:04Z":     "at must be",
		"at=1969-12-31T00:00Z":     "at must be",
		"text=" + manyLetters(256): "text must be at most 255 characters",
		"text=" + manyLetters(255): "",
	} {
		c := queried(t, query)
		_, pageErr := PageOf(c)
		_, idErr := QueryID(c, "id")
		_, timeErr := QueryTime(c, "at")
		_, textErr := QueryText(c, "text")
		_, choiceErr := QueryOneOf(c, "choice", "red", "green")
		_, wordErr := QueryWord(c, "word")
		err := errors.Join(pageErr, idErr, timeErr, textErr, choiceErr, wordErr)
		if want == "" {
			require.NoError(t, err, query)
			continue
		}
		require.ErrorContains(t, err, want, query)
	}
	_, err := QueryTime(queried(t, "at=2026-01-02T03:04:05+01:00"), "at")
	require.ErrorContains(t, err, "write the + of an offset as %2B")
	at, err := QueryTime(queried(t, "at=2026-01-02T03:04:05%2B01:00"), "at")
	require.NoError(t, err)
	require.Equal(t, "2026-01-02T02:04:05.000Z", Timestamp(at).String())
}

func manyLetters(n int) string { return strings.Repeat("%C3%BC", n) }

func TestPage(t *testing.T) {
	t.Parallel()
	all := []int{1, 2, 3, 4, 5}
	for _, tt := range []struct {
		page Page
		want []int
	}{
		{Page{1, 2}, []int{1, 2}},
		{Page{3, 2}, []int{5}},
		{Page{4, 2}, []int{}},
		{Page{1, 5}, all},
		{Page{1, 6}, all},
		{Page{MaxPage, MaxLimit}, []int{}},
	} {
		require.Equal(t, tt.want, Cut(tt.page, all), tt.page)
	}
	for total, pages := range map[int64]int64{0: 0, 1: 1, 2: 1, 3: 2, 4: 2, 5: 3} {
		require.Equal(t, pages, Page{Number: 1, Limit: 2}.Pages(total), total)
	}
	require.Equal(t, pg.Page{Limit: 20, Offset: 40}, Page{Number: 3, Limit: 20}.Window())
}

func TestPresentedKey(t *testing.T) {
	t.Parallel()
	basic := func(plain string) string { return "basic " + base64.StdEncoding.EncodeToString([]byte(plain)) }
	for _, tt := range []struct {
		headers []string
		key     string
		refused bool
	}{
		{[]string{"Authorization", basic("user:sk_1")}, "sk_1", false},
		{[]string{"Authorization", basic(":sk_1")}, "sk_1", false},
		{[]string{"Authorization", basic("user:sk_1"), "x-api-key", "sk_1"}, "sk_1", false},
		{[]string{"Authorization", basic("user:sk_1"), "x-api-key", "sk_other"}, "", true},
		{[]string{"Authorization", basic("user:of a proxy"), "x-api-key", "sk_1"}, "sk_1", false},
		{[]string{"Authorization", basic("sk_1")}, "", false},
		{[]string{"Authorization", basic("sk_1:")}, "", false},
		{[]string{"Authorization", "Bearer k"}, "k", false},
		{[]string{"Authorization", "token  k "}, "k", false},
		{[]string{"Authorization", "Basic k"}, "", false},
		{[]string{"Authorization", "k"}, "", false},
		{[]string{"x-api-key", " k "}, "k", false},
		{[]string{"apiKey", "k"}, "k", false},
		{[]string{"x-api-key", "k", "Authorization", "Token k", "apikey", "k"}, "k", false},
		{[]string{"x-api-key", "k", "apikey", "other"}, "", true},
		{[]string{"x-api-key", "k", "x-api-key", "other"}, "", true},
		{[]string{"x-api-key", "k", "Authorization", "Basic other"}, "k", false},
		{nil, "", false},
	} {
		h := http.Header{}
		for i := 0; i < len(tt.headers); i += 2 {
			h.Add(tt.headers[i], tt.headers[i+1])
		}
		key, err := PresentedKey(h)
		require.Equal(t, tt.key, key, tt.headers)
		require.Equal(t, tt.refused, err != nil, tt.headers)
		if err != nil {
			require.NotContains(t, err.Error(), "other", "a key is not repeated in an error")
		}
	}
}

func TestAllowedFrom(t *testing.T) {
	t.Parallel()
	allowed := []string{"192.0.2.1", "10.0.0.0/8", "2001:db8::/32"}
	for address, want := range map[string]bool{
		"192.0.2.1": true, "192.0.2.2": false, "10.255.0.1": true, "11.0.0.1": false, "2001:db8::7": true,
		"2001:db9::7":     false,
		"::ffff:10.1.2.3": true, "": false, "unknown": false,
	} {
		require.Equal(t, want, admits(&db.APIKey{AllowedIPs: allowed}, address) == nil, address)
	}
	require.NoError(t, admits(&db.APIKey{}, "unknown"), "an empty list allows all")
	require.Error(t, admits(&db.APIKey{AllowedIPs: []string{"not a network"}}, "192.0.2.1"))
}

// A full memory evicts keys: it never grows, and the newest key is always found.
func TestKeyMemory_is_bounded(t *testing.T) {
	t.Parallel()
	m := newKeyMemory()
	hash := func(i int) []byte {
		h := make([]byte, 32)
		copy(h, fmt.Sprintf("%032d", i))
		return h
	}
	for i := range maxRememberedKeys + 50 {
		k := &db.APIKey{Name: fmt.Sprint(i)}
		m.keep(hash(i), k)
		require.Same(t, k, m.find(hash(i)))
	}
	require.Len(t, m.byHash, maxRememberedKeys)
	require.Nil(t, m.find(hash(maxRememberedKeys+50)))
}

func TestSealHeaders_refuses(t *testing.T) {
	t.Parallel()
	p, err := ProfileOf(profiles.Names()[0])
	require.NoError(t, err)
	keyset, err := seal.NewKeyset()
	require.NoError(t, err)
	box, err := seal.New(keyset)
	require.NoError(t, err)
	s := &Core{Options: Options{Box: box}}
	for _, tt := range []struct {
		headers []Header
		want    string
	}{
		{[]Header{{"X-A", "1"}, {"x-a", "2"}}, "headers[1].name is there twice (header names ignore case)"},
		{[]Header{{"X-A", "1"}, {"a b", "2"}}, "headers[1].name must be a valid HTTP header name"},
		{[]Header{{"X-A", " \t"}}, "headers[0].value must not be empty"},
		{[]Header{{"X-A", " 1"}}, "headers[0].value must be a valid HTTP header value"},
		{[]Header{{"X-A", "1\r\nX-B: 2"}}, "headers[0].value must be a valid HTTP header value"},
		{[]Header{{"Content-Length", "1"}}, "headers[0].name is reserved: Content-Length"},
	} {
		_, err := s.SealHeaders(p, pg.NewID(), tt.headers)
		require.ErrorContains(t, err, tt.want)
	}
	id := pg.NewID()
	rows, err := s.SealHeaders(p, id, []Header{{"X-A", "1"}})
	require.NoError(t, err)
	value, err := box.Open(rows[0].Sealed, id, delivery.HeaderField("X-A"))
	require.NoError(t, err)
	require.Equal(t, []string{"X-A", "1"}, []string{rows[0].Name, string(value)})
}

func TestEventNames_of_an_unknown_profile_are_the_types(t *testing.T) {
	t.Parallel()
	types := []string{"interview.started"}
	names := EventNames("retired", types)
	require.Equal(t, types, names)
	names[0] = "changed"
	require.Equal(t, "interview.started", types[0], "a copy")
}

func TestProfileOf_lists_the_known_ones(t *testing.T) {
	t.Parallel()
	_, err := ProfileOf(strings.Repeat("x", 200))
	var refused *Error
	require.ErrorAs(t, err, &refused)
	require.Equal(t, profiles.Names(), refused.Details["allowed"])
	require.Len(t, []rune(refused.Details["provided"].(string)), 101, "the name is clipped")
	_, err = EventRefs{}.Resolve("x")
	require.ErrorAs(t, err, &refused)
}
