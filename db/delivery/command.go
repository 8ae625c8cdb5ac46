package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/pg"
)

// CommandKind is what a workflow must be told; the dispatcher knows how.
type CommandKind string

// Command kinds of the engine. The subject is the id of the webhook, delivery or replay.
const (
	// CircuitChanged: the webhook's circuit or activity changed; start its Circuit workflow if there is none.
	CircuitChanged CommandKind = "circuit.changed"
	// WakeDelivery: a waiting delivery shall look at its row again: it was released, canceled or is wanted at once.
	WakeDelivery CommandKind = "delivery.wake"
	// ReplayChanged: a replay was asked for, paused, resumed or canceled.
	ReplayChanged CommandKind = "replay.changed"
)

// Command is a row of the outbox to workflows.
type Command struct {
	bun.BaseModel `bun:"table:commands,alias:c"`

	ID        uuid.UUID       `bun:"id,pk"`
	Kind      CommandKind     `bun:"kind"`
	SubjectID uuid.UUID       `bun:"subject_id"`
	Args      json.RawMessage `bun:"args,type:jsonb"`
	CreatedAt time.Time       `bun:"created_at,nullzero,default:now()"`
	// Attempts counts how often it was refused.
	Attempts int `bun:"attempts"`
}

// WakeArgs are the arguments of WakeDelivery.
type WakeArgs struct {
	// Probe: make one attempt although the circuit is open.
	Probe bool `json:"probe,omitempty"`
}

// AddCommand records that a workflow must be told, in the transaction of the change that it is about.
func AddCommand(ctx context.Context, tx bun.Tx, kind CommandKind, subject uuid.UUID, args any) error {
	c := &Command{ID: pg.NewID(), Kind: kind, SubjectID: subject, Args: json.RawMessage("{}")}
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

// TakeCommands takes up to limit commands that are due, the longest waiting first, and removes them: they are gone
// when tx commits and back when it does not. Commands that another dispatcher holds are passed over.
func TakeCommands(ctx context.Context, tx bun.Tx, limit int) ([]Command, error) {
	var cs []Command
	err := tx.NewRaw(`DELETE FROM commands c USING (
		SELECT id FROM commands WHERE not_before <= now() ORDER BY not_before, id LIMIT ? FOR UPDATE SKIP LOCKED) t
		WHERE c.id = t.id RETURNING c.id, c.kind, c.subject_id, c.args, c.created_at, c.attempts`, limit).Scan(ctx, &cs)
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

// FailedCommand is a command that could not be told, with the reason.
type FailedCommand struct {
	Command
	Reason string
	// Unavailable: it was not refused, Temporal did not answer. It keeps its place.
	Unavailable bool
	// Keep: it is never parked, however often it fails.
	Keep bool
}

// A refused command waits for 1 s, then twice as long each time up to commandPause, and is parked after commandTries:
// some ten minutes, in which a fault that passes has passed.
const (
	commandTries = 10
	commandPause = 5 * time.Minute
)

// Parked reports whether the command is not tried again after this failure, until an operator sets its not_before.
func (c *FailedCommand) Parked() bool {
	return !c.Unavailable && !c.Keep && c.Attempts+1 >= commandTries
}

// notBefore is what PostgreSQL reads as the time of the next try.
func (c *FailedCommand) notBefore() string {
	switch {
	case c.Unavailable:
		return c.CreatedAt.UTC().Format(time.RFC3339Nano)
	case c.Parked():
		return "infinity"
	}
	pause := min(time.Second<<min(c.Attempts, commandTries), commandPause)
	return time.Now().Add(pause).UTC().Format(time.RFC3339Nano)
}

// PutBackCommands returns commands to the outbox that were taken in this transaction but could not be told. Those
// that were refused wait, longer each time, so that they do not stand in the way of the others.
func PutBackCommands(ctx context.Context, tx bun.Tx, failed []FailedCommand) error {
	if len(failed) == 0 {
		return nil
	}
	type row struct {
		Command `bun:",extend"`

		NotBefore string `bun:"not_before"`
		Reason    string `bun:"reason"`
	}
	rows := make([]row, len(failed))
	for i := range failed {
		c := &failed[i]
		rows[i] = row{Command: c.Command, NotBefore: c.notBefore(), Reason: c.Reason}
		if !c.Unavailable {
			rows[i].Attempts++
		}
	}
	if _, err := tx.NewInsert().Model(&rows).Exec(ctx); err != nil {
		return fmt.Errorf("put commands back: %w", err)
	}
	return nil
}

// ParkedCommands counts the commands that are not tried again, up to limit.
func ParkedCommands(ctx context.Context, db bun.IDB, limit int) (n int, err error) {
	err = db.NewRaw("SELECT count(*) FROM (SELECT 1 FROM commands WHERE not_before = 'infinity' LIMIT ?) c", limit).
		Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count parked commands: %w", err)
	}
	return n, nil
}
