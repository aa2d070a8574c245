package events

import (
	"context"
	"errors"
	"fmt"
)

// ErrForeignLog means that a checkpoint belongs to another log. Results derived from that log must
// be neither mixed with those of this one nor deleted.
var ErrForeignLog = errors.New("the checkpoint belongs to another log")

// Identity returns the random name that the first coordinator gave the log. A flush keeps it. It is
// "" if no coordinator that knows identities has opened the log yet. Store it with a checkpoint: a
// checkpoint with another identity is not from this log.
func (r *Reader) Identity(ctx context.Context) (string, error) {
	fields, err := r.client.HMGet(ctx, r.space.Log(), "identity").Result()
	if err != nil {
		return "", fmt.Errorf("read the log's identity: %w", err)
	}
	identity, _ := fields[0].(string) // nil if there is none
	return identity, nil
}

// Fits reports whether a checkpoint may be from this log: its event is in the log, or a flush or
// trim has removed it. Use it for a checkpoint that was stored without an identity.
func (r *Reader) Fits(ctx context.Context, checkpoint ID) (bool, error) {
	if checkpoint.IsZero() {
		return true, nil
	}
	page, log, err := r.snapshot(ctx, checkpoint.String(), 1)
	if err != nil {
		return false, fmt.Errorf("find the checkpoint %s in the log: %w", checkpoint, err)
	}
	there := len(page) > 0 && page[0].ID == checkpoint.String()
	return there || log.known && checkpoint.Seq < log.base && checkpoint.MS <= log.ms, nil
}
