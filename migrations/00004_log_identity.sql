-- +goose Up

-- The identity of the log that the projection follows. NULL until a program that knows identities has
-- compared the checkpoint with the log.
ALTER TABLE projection_checkpoints ADD COLUMN log text;

-- +goose Down
ALTER TABLE projection_checkpoints DROP COLUMN log;
