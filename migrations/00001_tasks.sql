-- +goose Up

-- The checkpoint of each projection into this schema: the entry ID and seq of the last event applied.
-- The transaction that applies an event writes it. `at` is that event's time.
CREATE TABLE projection_checkpoints (
    name text        PRIMARY KEY,
    id   text        NOT NULL,
    seq  bigint      NOT NULL,
    at   timestamptz NOT NULL
);

-- One row for each task that was not deleted, as of the event `seq`. Times are those of the events,
-- in whole milliseconds. The JSON columns are json, not jsonb, to return users' JSON byte for byte.
CREATE TABLE tasks (
    num          bigint      PRIMARY KEY,      -- the number in the id; rises with time
    id           text        NOT NULL,         -- t-<num>
    status       text        NOT NULL,         -- pending, in_progress, completed, failed
    priority     smallint    NOT NULL,
    attempt      integer     NOT NULL,         -- how often it was claimed
    assigned_to  text,
    text         text        NOT NULL,
    metadata     json,
    result       json,
    error        json,
    created_at   timestamptz NOT NULL,
    updated_at   timestamptz NOT NULL,
    claimed_at   timestamptz,                  -- the last claim
    completed_at timestamptz,                  -- completed or failed
    waited_ms    bigint,                       -- in the queue, before the last claim
    duration_ms  bigint,                       -- from the last claim to the end
    seq          bigint      NOT NULL          -- the last event that changed the row
) WITH (fillfactor = 85);

-- Tasks are numbered as they are created, so `num` orders by creation. Each index ends with it, as the
-- tie-break of pages.
CREATE UNIQUE INDEX tasks_id          ON tasks (id);
CREATE INDEX        tasks_status      ON tasks (status, num);
CREATE INDEX        tasks_priority    ON tasks (priority, num);
CREATE INDEX        tasks_updated_at  ON tasks (updated_at, num);
CREATE INDEX        tasks_assigned_to ON tasks (assigned_to, num) WHERE assigned_to IS NOT NULL;
-- Only finished tasks, which the views of throughput and times read.
CREATE INDEX        tasks_finished    ON tasks ((date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'))
    WHERE completed_at IS NOT NULL;

-- +goose Down
DROP TABLE tasks;
DROP TABLE projection_checkpoints;
