-- +goose Up

-- One row for each session of an agent: what its hooks, its todos and its registrations say, as of the event
-- `seq`. The projection of tasks writes it. A flush that keeps the rows marks them, and the next event of such
-- a session replaces its row. Times are those of the events, in whole milliseconds.
CREATE TABLE sessions (
    id               text        PRIMARY KEY,
    source           text,                        -- the program that sent the hooks; NULL if none came
    instance_id      text,                        -- the last instance that had it
    first_seq        bigint      NOT NULL,        -- the first event
    seq              bigint      NOT NULL,        -- the last event; orders sessions by activity
    started_at       timestamptz NOT NULL,        -- time of first_seq
    last_activity_at timestamptz NOT NULL,        -- time of seq
    ended_at         timestamptz,                 -- told by a hook, or its last instance left
    events           bigint      NOT NULL,
    prompts          bigint      NOT NULL,
    allowed          bigint      NOT NULL,        -- uses of tools by the decision of the policy
    asked            bigint      NOT NULL,
    denied           bigint      NOT NULL,
    tools            json        NOT NULL,        -- see the view session_tools
    todos            json,                        -- the list as last told: [{id, text, status}]
    kept             boolean     NOT NULL         -- a flush kept the row
) WITH (fillfactor = 85);

-- Newest activity first: all sessions, those of an instance, and those that have not ended.
CREATE INDEX sessions_seq      ON sessions (seq);
CREATE INDEX sessions_instance ON sessions (instance_id, seq) WHERE instance_id IS NOT NULL;
CREATE INDEX sessions_active   ON sessions (seq) WHERE ended_at IS NULL;

-- Which instance had which session, and when. An instance has one session at a time.
CREATE TABLE session_instances (
    instance_id text        NOT NULL,
    since_seq   bigint      NOT NULL,             -- the registration
    session_id  text        NOT NULL,
    since_at    timestamptz NOT NULL,
    until_at    timestamptz,                      -- exclusive; NULL: it still has it
    PRIMARY KEY (instance_id, since_seq)
);
CREATE INDEX session_instances_session ON session_instances (session_id, since_seq);

-- Sessions are folded from the event after this seq. It is 0 unless an earlier version, which had no sessions,
-- had applied events when the database was migrated.
ALTER TABLE projection_checkpoints ADD COLUMN sessions_after bigint NOT NULL DEFAULT 0;
UPDATE projection_checkpoints SET sessions_after = seq WHERE name = 'tasks';

-- The tools of each session, by the number of their uses and the time that they took.
CREATE VIEW session_tools AS
SELECT s.id          AS session,
       t.name        AS tool,
       t.requested,
       t.finished,
       t.failed,
       t.denied,
       t."totalMs"   AS total_ms,
       t."maxMs"     AS max_ms
FROM sessions s,
     json_to_recordset(s.tools) AS t (name text, requested bigint, finished bigint, failed bigint, denied bigint, "totalMs" bigint, "maxMs" bigint);

-- The tasks of each session: those that were last claimed by its instance while it had the session.
CREATE VIEW session_tasks AS
SELECT s.id          AS session,
       p.instance_id AS instance,
       t.num,
       t.id          AS task,
       t.status,
       t.attempt,
       t.claimed_at,
       t.completed_at,
       t.duration_ms
FROM sessions s
JOIN session_instances p ON p.session_id = s.id AND p.since_seq >= s.first_seq
JOIN tasks t ON t.assigned_to = p.instance_id AND t.status <> 'pending'
            AND t.claimed_at >= p.since_at AND (p.until_at IS NULL OR t.claimed_at < p.until_at);

-- +goose Down
DROP VIEW session_tasks;
DROP VIEW session_tools;
ALTER TABLE projection_checkpoints DROP COLUMN sessions_after;
DROP TABLE session_instances;
DROP TABLE sessions;
