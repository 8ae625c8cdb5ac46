package db

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
	"github.com/uptrace/bun"

	"greenroom/db/delivery"
	"greenroom/db/seal"
)

// sealAtOnce bounds what SealHeaders reads at a time.
const sealAtOnce = 100

// SealHeaders seals the header values that an older version stored in plain text, and returns the number of webhooks
// that it changed. It may run in several processes at a time, and while an older version still writes.
func SealHeaders(ctx context.Context, d bun.IDB, box *seal.Box) (n int, err error) {
	for {
		var rows []struct {
			ID      uuid.UUID
			Headers string
		}
		err := d.NewRaw(`SELECT id, headers::text AS headers FROM webhooks
			WHERE jsonb_path_exists(headers, '$[*].value') ORDER BY id LIMIT ?`, sealAtOnce).Scan(ctx, &rows)
		if err != nil {
			return n, fmt.Errorf("list plain headers: %w", err)
		}
		before := n
		for _, row := range rows {
			changed, err := sealRow(ctx, d, box, row.ID, row.Headers)
			if err != nil {
				return n, err
			}
			if changed {
				n++
			}
		}
		if len(rows) < sealAtOnce || n == before { // none changed: others are sealing them
			return n, nil
		}
	}
}

// sealRow leaves a row that has changed since it was read: its headers were replaced.
func sealRow(ctx context.Context, d bun.IDB, box *seal.Box, id uuid.UUID, stored string) (bool, error) {
	var headers []delivery.WebhookHeader
	if err := json.Unmarshal([]byte(stored), &headers); err != nil {
		return false, fmt.Errorf("read headers of webhook %s: %w", id, err)
	}
	for i, h := range headers {
		if h.Sealed != nil {
			continue
		}
		sealed, err := box.Seal([]byte(h.Value), id, delivery.HeaderField(h.Name))
		if err != nil {
			return false, err
		}
		headers[i] = delivery.WebhookHeader{Name: h.Name, Sealed: sealed}
	}
	sealed, err := json.Marshal(headers)
	if err != nil {
		return false, fmt.Errorf("write headers of webhook %s: %w", id, err)
	}
	r, err := d.ExecContext(ctx, "UPDATE webhooks SET headers = ?::jsonb WHERE id = ? AND headers = ?::jsonb",
		string(sealed), id, stored)
	if err != nil {
		return false, fmt.Errorf("seal headers of webhook %s: %w", id, err)
	}
	changed, err := r.RowsAffected()
	return changed > 0, err
}
