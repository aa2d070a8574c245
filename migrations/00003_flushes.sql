-- +goose Up

-- What became of the flushes that were to delete the rows of tasks, decided once: either the transaction
-- that deletes them writes the flush's id first, or whoever undoes the flush does, and the other finds it.
CREATE TABLE system_flushes (
    id            text        PRIMARY KEY,
    deleted       boolean     NOT NULL,           -- false: undone, the rows are kept
    tasks_deleted bigint      NOT NULL DEFAULT 0,
    decided_at    timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE system_flushes;
