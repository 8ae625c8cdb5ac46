package delivery

import (
	"bytes"
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// ErrKeyTaken means that the submission's idempotency key has an answer, or that another transaction is storing one.
// Nothing was stored. A transaction that claims the key (db.ClaimIdempotencyKey) waits for that answer and reads it.
var ErrKeyTaken = errors.New("the idempotency key is taken")

// Idempotency stores a submission at most once for each idempotency key.
type Idempotency struct {
	APIKey uuid.UUID
	Key    string
	// RequestHash tells a repeated request from another one with the same key.
	RequestHash []byte
	// Answer returns the answer that is stored with the events, given the number of deliveries of each event. It may be
	// called more than once, each time before a try of the commit; the last answer is the stored one.
	Answer func(deliveries []int) (status int, body []byte, err error)
}

// IdempotencyLock returns the id of the advisory lock that a transaction holds while it stores the answer of a key. A
// group tries the lock, because inserting a key that another transaction has inserted would wait for its end.
func IdempotencyLock(apiKey uuid.UUID, key string) int64 {
	sum := sha256.Sum256(append([]byte("idempotency\n"+key+"\n"), apiKey[:]...))
	return int64(binary.BigEndian.Uint64(sum[:]))
}

// idempotencyKey identifies a key within the process.
type idempotencyKey struct {
	apiKey uuid.UUID
	key    string
}

func (i *Idempotency) id() idempotencyKey { return idempotencyKey{i.APIKey, i.Key} }

// errTakenMeanwhile: a key was stored after the statement that checks it began.
var errTakenMeanwhile = errors.New("an idempotency key was stored in the meantime")

// errAnswer: a submission's Answer failed.
var errAnswer = errors.New("make the answer")

// storeTries bounds how often submissions are stored again after errTakenMeanwhile. The next try sees the key, so a
// second one fails only when yet another key was stored in the same way.
const storeTries = 5

// storeSubmissions stores submissions in one transaction, with the answers of those that have an idempotency key. It
// waits for no other transaction that stores one of the keys.
func storeSubmissions(ctx context.Context, db *bun.DB, ss []Submission) (results []submitResult, err error) {
	if !slices.ContainsFunc(ss, func(s Submission) bool { return s.Idempotency != nil }) {
		return insertEvents(ctx, db, ss)
	}
	for range storeTries {
		err = pg.InTx(ctx, db, func(ctx context.Context, tx bun.Tx) (err error) {
			results, err = storeWithAnswers(ctx, tx, ss)
			return err
		})
		if !errors.Is(err, errTakenMeanwhile) {
			break
		}
	}
	return results, err
}

func storeWithAnswers(ctx context.Context, tx bun.Tx, ss []Submission) ([]submitResult, error) {
	results, err := insertEvents(ctx, tx, ss)
	if err != nil {
		return nil, err
	}
	return results, storeAnswers(ctx, tx, ss, results)
}

// storedAnswer is a row of idempotency_keys.
type storedAnswer struct {
	*Idempotency
	status int
	body   []byte
}

// storeAnswers stores the answers of the submissions that were stored. It is the last statement of the transaction,
// which holds the locks of the keys. Keys are sorted, because older versions store them without these locks.
func storeAnswers(ctx context.Context, tx bun.Tx, ss []Submission, results []submitResult) error {
	var answers []storedAnswer
	for i, s := range ss {
		if s.Idempotency == nil || results[i].stale || results[i].taken {
			continue
		}
		status, body, err := s.Idempotency.Answer(results[i].deliveries)
		if err != nil {
			return fmt.Errorf("%w: %w", errAnswer, err)
		}
		answers = append(answers, storedAnswer{s.Idempotency, status, body})
	}
	if len(answers) == 0 {
		return nil
	}
	slices.SortFunc(answers, func(a, b storedAnswer) int {
		return cmp.Or(bytes.Compare(a.APIKey[:], b.APIKey[:]), cmp.Compare(a.Key, b.Key))
	})
	res, err := pg.Direct(tx).ExecContext(ctx, storeAnswersSQL.SQL, storeAnswersSQL.Args(answersArgs(answers))...)
	if err != nil {
		return fmt.Errorf("store idempotent answers: %w", err)
	}
	if n, err := res.RowsAffected(); err != nil || n < int64(len(answers)) {
		return cmp.Or(err, errTakenMeanwhile)
	}
	return nil
}

func answersArgs(answers []storedAnswer) pg.Args {
	n := len(answers)
	apiKeys, keys, hashes := make([]pgtype.UUID, n), make([]string, n), make([][]byte, n)
	statuses, responses := make([]int32, n), make([]string, n)
	for i, a := range answers {
		apiKeys[i], keys[i], hashes[i] = pgID(a.APIKey), a.Key, a.RequestHash
		statuses[i], responses[i] = int32(a.status), string(a.body)
	}
	return pg.Args{"api_keys": apiKeys, "keys": keys, "hashes": hashes, "statuses": statuses, "responses": responses}
}

var storeAnswersSQL = pg.Named(`
INSERT INTO idempotency_keys (api_key_id, key, request_hash, status_code, response)
SELECT * FROM unnest(@api_keys::uuid[], @keys::text[], @hashes::bytea[], @statuses::int[], @responses::text[])
ON CONFLICT DO NOTHING`)
