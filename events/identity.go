package events

import (
	"context"
	"errors"
	"fmt"
)

// ErrForeignLog is wrapped by the errors of whoever keeps a checkpoint and finds that it belongs to
// another log: what was derived from that log must not be mixed with this one, nor deleted for it.
var ErrForeignLog = errors.New("the checkpoint belongs to another log")

// Identity is the random name that the log got from the first coordinator that opened it, and keeps
// over a flush. It is "" if no coordinator that knows identities has opened the log yet. Keep it
// beside a checkpoint: a checkpoint of another identity is not one of this log.
func (r *Reader) Identity(ctx context.Context) (string, error) {
	fields, err := r.client.HMGet(ctx, r.space.Log(), "identity").Result()
	if err != nil {
		return "", fmt.Errorf("read the log's identity: %w", err)
	}
	identity, _ := fields[0].(string) // nil where there is none
	return identity, nil
}

// Fits reports whether a checkpoint may be one of this log: its event is there, or a flush or a
// trim has removed it. It is how a checkpoint that was kept without an identity is told from
// another log's.
func (r *Reader) Fits(ctx context.Context, checkpoint ID) (bool, error) {
	if checkpoint.IsZero() {
		return true, nil
	}
	page, log, err := r.snapshot(ctx, checkpoint.String(), 1)
	if err != nil {
		return false, fmt.Errorf("look for the checkpoint %s in the log: %w", checkpoint, err)
	}
	there := len(page) > 0 && page[0].ID == checkpoint.String()
	return there || log.known && checkpoint.Seq < log.base && checkpoint.MS <= log.ms, nil
}
