-- +goose Up

-- The outcome of each flush that includes the rows of tasks. It is decided once: either the transaction that
-- deletes the rows writes the flush's id first, or the coordinator that undoes the flush does.
CREATE TABLE system_flushes (
    id            text        PRIMARY KEY,
    deleted       boolean     NOT NULL,           -- false: undone, the rows are kept
    tasks_deleted bigint      NOT NULL DEFAULT 0,
    decided_at    timestamptz NOT NULL DEFAULT now()
);

-- +goose Down
DROP TABLE system_flushes;
