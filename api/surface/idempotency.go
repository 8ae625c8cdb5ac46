package surface

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net/http"
	"strings"

	"github.com/gin-gonic/gin"
	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db"
	"greenroom/db/delivery"
	"greenroom/db/pg"
)

const (
	// IdempotencyHeader identifies a request that a client may retry.
	IdempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxIdempotencyKey = 255
)

// Work does the work of a request in a transaction and returns the answer: the whole body in the surface's format.
type Work func(ctx context.Context, tx bun.Tx) (status int, body any, err error)

// Once does the work in one transaction and answers. With an Idempotency-Key, the same transaction stores the answer
// for 24 hours: the same request with the same key gets the same bytes again and does nothing; a different request with
// that key is a 409. Concurrent requests with the same key wait for the first one. A failed request stores no answer.
// Requests are the same if method, path, companyId and body are equal byte for byte.
func (s *Core) Once(c *gin.Context, raw []byte, do Work) error { return s.once(c, raw, false, do) }

// Idempotency is Once for a request whose events are stored in a group (delivery.EventGroup), with the answer that
// answer returns. It is nil for a request without an Idempotency-Key. A request whose key is taken must go through
// Once, which answers with the stored answer.
func (s *Core) Idempotency(
	c *gin.Context, raw []byte, answer func(deliveries []int) (status int, body []byte, err error),
) *delivery.Idempotency {
	key := c.GetHeader(IdempotencyHeader)
	if key == "" {
		return nil
	}
	return &delivery.Idempotency{
		APIKey: Caller(c).Key.ID, Key: key, RequestHash: s.requestHash(c, raw), Answer: answer,
	}
}

// Repeated answers a request whose Idempotency-Key has an answer, as Once does, and reports whether it did. It is for a
// request with work before its transaction, which a repetition must not do again.
func (s *Core) Repeated(c *gin.Context, raw []byte) (answered bool, err error) {
	key, apiKey := c.GetHeader(IdempotencyHeader), Caller(c).Key.ID
	if key == "" {
		return false, nil
	}
	a, err := db.FindIdempotentAnswer(c.Request.Context(), s.DB, apiKey, key)
	if errors.Is(err, pg.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	body, err := s.keptAnswer(a, apiKey, key, s.requestHash(c, raw))
	if err != nil {
		return false, err
	}
	c.Header(replayedHeader, "true")
	RespondJSON(c, a.StatusCode, body)
	return true, nil
}

// OnceSealed is Once for an answer that has a secret: it is stored encrypted.
func (s *Core) OnceSealed(c *gin.Context, raw []byte, do Work) error { return s.once(c, raw, true, do) }

func (s *Core) once(c *gin.Context, raw []byte, sealed bool, do Work) error {
	var a *db.IdempotentAnswer
	var body []byte
	replayed := false
	err := pg.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		a, body, replayed, err = s.attemptOnce(ctx, tx, c, raw, sealed, do)
		return err
	})
	if err != nil {
		return err
	}
	if replayed {
		c.Header(replayedHeader, "true")
	}
	RespondJSON(c, a.StatusCode, body)
	return nil
}

// RespondJSON answers with a body that is JSON already.
func RespondJSON(c *gin.Context, status int, body []byte) {
	c.Data(status, "application/json; charset=utf-8", body)
}

func (s *Core) attemptOnce(ctx context.Context, tx bun.Tx, c *gin.Context, raw []byte, sealed bool, do Work) (
	a *db.IdempotentAnswer, body []byte, replayed bool, err error,
) {
	key, apiKey, hash := c.GetHeader(IdempotencyHeader), Caller(c).Key.ID, s.requestHash(c, raw)
	if key != "" {
		a, err = db.ClaimIdempotencyKey(ctx, tx, apiKey, key, hash)
		if err != nil {
			return nil, nil, false, err
		}
		if a != nil {
			body, err = s.keptAnswer(a, apiKey, key, hash)
			return a, body, true, err
		}
	}
	a = &db.IdempotentAnswer{RequestHash: hash}
	status, answer, err := do(ctx, tx)
	if err != nil {
		return nil, nil, false, err
	}
	if body, err = json.Marshal(answer); err != nil {
		return nil, nil, false, err
	}
	a.StatusCode = status
	if key == "" {
		return a, body, false, nil
	}
	if a.Response = string(body); sealed {
		a.Response = ""
		if a.Sealed, err = s.Box.Seal(body, apiKey, db.IdempotencyField(key)); err != nil {
			return nil, nil, false, err
		}
	}
	return a, body, false, db.StoreIdempotentAnswer(ctx, tx, apiKey, key, a)
}

// keptAnswer returns the body of the stored answer if the request is the same.
func (s *Core) keptAnswer(a *db.IdempotentAnswer, apiKey uuid.UUID, key string, hash []byte) ([]byte, error) {
	if err := sameRequest(a, hash); err != nil {
		return nil, err
	}
	if a.Sealed == nil {
		return []byte(a.Response), nil
	}
	return s.Box.Open(a.Sealed, apiKey, db.IdempotencyField(key))
}

func sameRequest(a *db.IdempotentAnswer, hash []byte) error {
	if bytes.Equal(a.RequestHash, hash) {
		return nil
	}
	return &Error{
		Status: http.StatusConflict, Code: CodeIdempotency,
		Message: "This " + IdempotencyHeader + " was used for another request within the last 24 hours",
	}
}

func (s *Core) requestHash(c *gin.Context, raw []byte) []byte {
	h := sha256.New()
	path := s.surfaceOf(c.Request.URL.Path).Plain(c.Request.URL.Path)
	for _, part := range []string{c.Request.Method, path, c.Query("companyId")} {
		_, _ = h.Write([]byte(part + "\n")) // a hash never returns an error
	}
	_, _ = h.Write(raw)
	return h.Sum(nil)
}

// checkIdempotencyKey accepts at most one key of printable ASCII, which PostgreSQL stores unchanged. It refuses an
// empty key, because its sender expects protection from duplicates.
func checkIdempotencyKey(r *http.Request) error {
	keys := r.Header.Values(IdempotencyHeader)
	if len(keys) == 0 {
		return nil
	}
	key := keys[0]
	switch {
	case len(keys) > 1:
		return Invalid(IdempotencyHeader, IdempotencyHeader+" is there twice")
	case strings.TrimSpace(key) == "":
		return Invalid(IdempotencyHeader, IdempotencyHeader+" must not be empty")
	case len(key) > maxIdempotencyKey:
		return Invalid(IdempotencyHeader, IdempotencyHeader+" must be at most 255 characters")
	}
	for _, r := range []byte(key) {
		if r < 0x20 || r > 0x7e {
			return Invalid(IdempotencyHeader, IdempotencyHeader+" must be printable ASCII")
		}
	}
	return nil
}
