-- +goose Up

-- One row for each event of the log, written once by the projection `events`: the story of a task or of an
-- instance, also after its events were trimmed from the log. A flush that includes Postgres empties the table.
CREATE TABLE events (
    seq      bigint           PRIMARY KEY,        -- with ms, the ID of the log's entry: <ms>-<seq>
    ms       bigint           NOT NULL,           -- when it happened, ms since 1970; rises with seq
    task     bigint,                              -- the number of the task that it concerns: the n of t-<n>
    v        smallint         NOT NULL,           -- the version of the payload
    type     text COLLATE "C" NOT NULL,
    instance text COLLATE "C",                    -- the instance that it concerns
    other    text COLLATE "C",                    -- a second one: the last owner before, the last leader
    actor    text             NOT NULL,
    cause    text,
    trace    text,
    payload  text             NOT NULL            -- JSON; payload::json in queries
);

-- Each is read in the order of seq, page by page, so seq is its second column. Most events have no second
-- instance, and events_rare leaves out the types that make up most of a log.
CREATE INDEX events_task     ON events (task, seq)     WHERE task IS NOT NULL;
CREATE INDEX events_instance ON events (instance, seq) WHERE instance IS NOT NULL;
CREATE INDEX events_other    ON events (other, seq)    WHERE other IS NOT NULL;
CREATE INDEX events_rare     ON events (type, seq)     WHERE type NOT LIKE 'task.%' AND type NOT LIKE 'hook.%';

-- Rows are never updated, so there is nothing to vacuum but the marks that make index-only scans and the next
-- freeze cheap. Long payloads are compressed by lz4 where Postgres has it: it costs a fraction of pglz.
-- +goose StatementBegin
DO $$
BEGIN
    ALTER TABLE events ALTER COLUMN payload SET COMPRESSION lz4;
EXCEPTION WHEN feature_not_supported THEN
    NULL;
END
$$;
-- +goose StatementEnd

-- +goose Down
DROP TABLE events;
