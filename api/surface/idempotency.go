package surface

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/db"
)

const (
	// IdempotencyHeader is where a client names a request that it may have to send again.
	IdempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxIdempotencyKey = 255
)

// Work is what a request does in its transaction, and its answer: the whole body, as the surface writes it.
type Work func(ctx context.Context, tx bun.Tx) (status int, body any, err error)

// Once does the work in one transaction and answers. With an Idempotency-Key the answer is kept in that same transaction for 24
// hours: the same request under the same key is given the same bytes again and does nothing; another request is a 409. Of
// requests at the same time one does the work and the others wait for its answer. A request that failed keeps no answer.
// The same request means the same method, path, companyId and body, byte for byte.
func (s *Core) Once(c *gin.Context, raw []byte, do Work) error {
	key := c.GetHeader(IdempotencyHeader)
	if err := checkIdempotencyKey(key); err != nil {
		return err
	}
	var a *db.IdempotentAnswer
	replayed := false
	err := db.InTx(c.Request.Context(), s.DB, func(ctx context.Context, tx bun.Tx) (err error) {
		a, replayed, err = s.attemptOnce(ctx, tx, c, key, raw, do)
		return err
	})
	if err != nil {
		return err
	}
	if replayed {
		c.Header(replayedHeader, "true")
	}
	c.Data(a.StatusCode, "application/json; charset=utf-8", []byte(a.Response))
	return nil
}

func (s *Core) attemptOnce(ctx context.Context, tx bun.Tx, c *gin.Context, key string, raw []byte, do Work) (
	a *db.IdempotentAnswer, replayed bool, err error,
) {
	apiKey, hash := Caller(c).Key.ID, s.requestHash(c, raw)
	if key != "" {
		a, err = db.ClaimIdempotencyKey(ctx, tx, apiKey, key, hash)
		if err != nil {
			return nil, false, err
		}
		if a != nil {
			return a, true, sameRequest(a, hash)
		}
	}
	status, answer, err := do(ctx, tx)
	if err != nil {
		return nil, false, err
	}
	body, err := json.Marshal(answer)
	if err != nil {
		return nil, false, err
	}
	a = &db.IdempotentAnswer{StatusCode: status, Response: string(body)}
	if key == "" {
		return a, false, nil
	}
	return a, false, db.StoreIdempotentAnswer(ctx, tx, apiKey, key, status, a.Response)
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
	for _, part := range []string{c.Request.Method, s.surfaceOf(c.Request.URL.Path).Plain(c.Request.URL.Path), c.Query("companyId")} {
		_, _ = h.Write([]byte(part + "\n")) // a hash never fails to take bytes
	}
	_, _ = h.Write(raw)
	return h.Sum(nil)
}

// checkIdempotencyKey accepts printable ASCII: what a header carries and PostgreSQL stores unchanged.
func checkIdempotencyKey(key string) error {
	if len(key) > maxIdempotencyKey {
		return Invalid(IdempotencyHeader, IdempotencyHeader+" must be at most 255 characters")
	}
	for _, r := range []byte(key) {
		if r < 0x20 || r > 0x7e {
			return Invalid(IdempotencyHeader, IdempotencyHeader+" must be printable ASCII")
		}
	}
	return nil
}
