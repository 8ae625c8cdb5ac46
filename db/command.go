package db

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"
)

// CommandKind is what a workflow must be told; the dispatcher knows how.
type CommandKind string

// Command kinds. The subject is the id of the interview, webhook, delivery, replay or generation.
const (
	// InterviewChanged: the interview's row changed; start its workflow if there is none.
	InterviewChanged CommandKind = "interview.changed"
	// CircuitChanged: the webhook's circuit or activity changed; start its Circuit workflow if there is none.
	CircuitChanged CommandKind = "circuit.changed"
	// DeliveryWake: a waiting delivery shall look at its row again: it was released, canceled or is wanted at once.
	DeliveryWake CommandKind = "delivery.wake"
	// ReplayChanged: a replay was asked for, paused, resumed or canceled.
	ReplayChanged CommandKind = "replay.changed"
	// GenerationRequested: an AI interview is to be made from a role and its description.
	GenerationRequested CommandKind = "generation.requested"
)

// Command is a row of the outbox to workflows.
type Command struct {
	bun.BaseModel `bun:"table:commands,alias:c"`

	ID        uuid.UUID       `bun:"id,pk"`
	Kind      CommandKind     `bun:"kind"`
	SubjectID uuid.UUID       `bun:"subject_id"`
	Args      json.RawMessage `bun:"args,type:jsonb"`
	CreatedAt time.Time       `bun:"created_at,nullzero,default:now()"`
}

// WakeArgs are the arguments of DeliveryWake.
type WakeArgs struct {
	// Probe: make one attempt although the circuit is open.
	Probe bool `json:"probe,omitempty"`
}

// AddCommand records that a workflow must be told, in the transaction of the change that it is about.
func AddCommand(ctx context.Context, tx bun.Tx, kind CommandKind, subject uuid.UUID, args any) error {
	c := &Command{ID: NewID(), Kind: kind, SubjectID: subject, Args: json.RawMessage("{}")}
	if args != nil {
		b, err := json.Marshal(args)
		if err != nil {
			return fmt.Errorf("encode command: %w", err)
		}
		c.Args = b
	}
	if _, err := tx.NewInsert().Model(c).Exec(ctx); err != nil {
		return fmt.Errorf("insert command: %w", err)
	}
	return notify(ctx, tx)
}

// TakeCommands takes up to limit commands, oldest first, and removes them: they are gone when tx commits and back when it
// does not. Commands that another dispatcher holds are passed over.
func TakeCommands(ctx context.Context, tx bun.Tx, limit int) ([]Command, error) {
	var cs []Command
	err := tx.NewRaw(`DELETE FROM commands c USING (
		SELECT id FROM commands ORDER BY id LIMIT ? FOR UPDATE SKIP LOCKED) t
		WHERE c.id = t.id RETURNING c.id, c.kind, c.subject_id, c.args, c.created_at`, limit).Scan(ctx, &cs)
	if err != nil {
		return nil, fmt.Errorf("take commands: %w", err)
	}
	return cs, nil
}

// QueueChannel is the PostgreSQL channel on which dispatchers hear that there is something to take.
const QueueChannel = "greenroom_queue"

// notify wakes the dispatchers when tx commits.
func notify(ctx context.Context, tx bun.Tx) error {
	if _, err := tx.ExecContext(ctx, "SELECT pg_notify(?, '')", QueueChannel); err != nil {
		return fmt.Errorf("notify dispatchers: %w", err)
	}
	return nil
}

// PutBackCommands returns commands to the outbox that were taken in this transaction but could not be told.
func PutBackCommands(ctx context.Context, tx bun.Tx, cs []Command) error {
	if len(cs) == 0 {
		return nil
	}
	if _, err := tx.NewInsert().Model(&cs).Exec(ctx); err != nil {
		return fmt.Errorf("put commands back: %w", err)
	}
	return nil
}
