package api

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"net/http"
	"strings"
	"time"

	"github.com/gin-gonic/gin"
	"github.com/uptrace/bun"

	"greenroom/db"
)

const (
	idempotencyHeader = "Idempotency-Key"
	replayedHeader    = "Idempotency-Replayed"
	maxIdempotencyKey = 255
)

// work is what a request does in its transaction, and its answer.
type work func(ctx context.Context, tx bun.Tx) (status int, data any, err error)

// once does the work in one transaction and answers. With an Idempotency-Key the answer is kept in that same transaction for 24
// hours: the same request under the same key is given the same bytes again and does nothing; another request is a 409. Of
// requests at the same time one does the work and the others wait for its answer. A request that failed keeps no answer.
// The same request means the same method, path, companyId and body, byte for byte.
func (s *server) once(c *gin.Context, raw []byte, do work) error {
	key := c.GetHeader(idempotencyHeader)
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

func (s *server) attemptOnce(ctx context.Context, tx bun.Tx, c *gin.Context, key string, raw []byte, do work) (
	a *db.IdempotentAnswer, replayed bool, err error,
) {
	apiKey, hash := caller(c).key.ID, requestHash(c, raw)
	if key != "" {
		a, err = db.ClaimIdempotencyKey(ctx, tx, apiKey, key, hash)
		if err != nil {
			return nil, false, err
		}
		if a != nil {
			return a, true, sameRequest(a, hash)
		}
	}
	status, data, err := do(ctx, tx)
	if err != nil {
		return nil, false, err
	}
	body, err := json.Marshal(envelope{Success: true, Data: data, Timestamp: timestamp(time.Now())})
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
	return &apiError{
		Status: http.StatusConflict, Code: codeIdempotency,
		Message: "This " + idempotencyHeader + " was used for another request within the last 24 hours",
	}
}

func requestHash(c *gin.Context, raw []byte) []byte {
	h := sha256.New()
	for _, part := range []string{c.Request.Method, strings.TrimPrefix(c.FullPath(), "/v1"), c.Query("companyId")} {
		_, _ = h.Write([]byte(part + "\n")) // a hash never fails to take bytes
	}
	_, _ = h.Write(raw)
	return h.Sum(nil)
}

// checkIdempotencyKey accepts printable ASCII: what a header carries and PostgreSQL stores unchanged.
func checkIdempotencyKey(key string) error {
	if len(key) > maxIdempotencyKey {
		return invalid(idempotencyHeader, idempotencyHeader+" must be at most 255 characters")
	}
	for _, r := range []byte(key) {
		if r < 0x20 || r > 0x7e {
			return invalid(idempotencyHeader, idempotencyHeader+" must be printable ASCII")
		}
	}
	return nil
}
