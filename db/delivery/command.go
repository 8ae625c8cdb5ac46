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

// CommandKind says what to signal to a workflow. The dispatcher maps it to a start or a signal.
type CommandKind string

// Command kinds of the engine. The subject is the id of the webhook, delivery or replay.
const (
	// CircuitChanged: the webhook's circuit or activity changed; start its Circuit workflow if there is none.
	CircuitChanged CommandKind = "circuit.changed"
	// WakeDelivery: the delivery's workflow must read its row again: it was released, canceled or is to be retried now.
	WakeDelivery CommandKind = "delivery.wake"
	// ReplayChanged: a replay was created, paused, resumed or canceled.
	ReplayChanged CommandKind = "replay.changed"
)

// Command is a row of the outbox: a signal to send to a workflow.
type Command struct {
	bun.BaseModel `bun:"table:commands,alias:c"`

	ID        uuid.UUID       `bun:"id,pk"`
	Kind      CommandKind     `bun:"kind"`
	SubjectID uuid.UUID       `bun:"subject_id"`
	Args      json.RawMessage `bun:"args,type:jsonb"`
	CreatedAt time.Time       `bun:"created_at,nullzero,default:now()"`
	// Attempts counts the refusals.
	Attempts int `bun:"attempts"`
	// Trace is that of the change, as in Event.
	Trace string `bun:"trace_context,nullzero"`
}

// WakeArgs are the arguments of WakeDelivery.
type WakeArgs struct {
	// Probe: make one attempt although the circuit is open.
	Probe bool `json:"probe,omitempty"`
}

// AddCommand adds a command in the transaction of the change that it announces.
func AddCommand(ctx context.Context, tx bun.Tx, kind CommandKind, subject uuid.UUID, args any) error {
	c := &Command{ID: pg.NewID(), Kind: kind, SubjectID: subject, Args: json.RawMessage("{}"), Trace: traceOf(ctx)}
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
	notify(tx)
	return nil
}

// TakeCommands claims up to limit due commands, the longest waiting first. The claim deletes them when tx commits.
// Commands that another dispatcher has locked are skipped.
func TakeCommands(ctx context.Context, tx bun.Tx, limit int) ([]Command, error) {
	var cs []Command
	err := tx.NewRaw(`DELETE FROM commands c USING (
		SELECT id FROM commands WHERE not_before <= now() ORDER BY not_before, id LIMIT ? FOR UPDATE SKIP LOCKED) t
		WHERE c.id = t.id RETURNING c.id, c.kind, c.subject_id, c.args, c.created_at, c.attempts,
			c.trace_context`, limit).Scan(ctx, &cs)
	if err != nil {
		return nil, fmt.Errorf("take commands: %w", err)
	}
	return cs, nil
}

// QueueChannel is the PostgreSQL channel that wakes the dispatchers.
const QueueChannel = "greenroom_queue"

// OnlyDeliveries is the payload of a notification that concerns no commands.
const OnlyDeliveries = "deliveries"

// OrderedDeliveries is the payload of one that concerns deliveries in lines too.
const OrderedDeliveries = "ordered"

// notify wakes the dispatchers after the commit, see pg.Notify.
func notify(db bun.IDB) { pg.Notify(db, QueueChannel, "") }

// FailedCommand is a command that could not be sent, with the reason.
type FailedCommand struct {
	Command
	Reason string
	// Unavailable: Temporal did not answer. The command keeps its place in the order.
	Unavailable bool
	// Keep: the command is never parked.
	Keep bool
}

// A refused command is retried after 1 s, then after twice as long each time, up to commandPause. After commandTries
// refusals, within some ten minutes, it is parked: a temporary fault would be over by then.
const (
	commandTries = 10
	commandPause = 5 * time.Minute
)

// Parked reports whether this failure parks the command: it is not retried until an operator sets its not_before.
func (c *FailedCommand) Parked() bool {
	return !c.Unavailable && !c.Keep && c.Attempts+1 >= commandTries
}

// notBefore is the time of the next try, as a PostgreSQL literal.
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

// PutBackCommands returns commands to the outbox that were taken in this transaction but could not be sent. Refused
// commands wait longer each time, so that they do not block the others.
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

// ParkedCommands counts the parked commands, up to limit.
func ParkedCommands(ctx context.Context, db bun.IDB, limit int) (n int, err error) {
	err = db.NewRaw("SELECT count(*) FROM (SELECT 1 FROM commands WHERE not_before = 'infinity' LIMIT ?) c", limit).
		Scan(ctx, &n)
	if err != nil {
		return 0, fmt.Errorf("count parked commands: %w", err)
	}
	return n, nil
}
