-- +goose Up

-- What only some tasks have. The other tasks pay for two integers. JSON is json, to return it byte for byte.
-- The status of a task is also one of scheduled (waits for run_at), blocked (waits for other tasks, or for its
-- turn) and cancelled. completed_at of a cancelled task is when it was cancelled; its duration_ms is NULL.
ALTER TABLE tasks
    ADD COLUMN run_at       timestamptz,                 -- when it becomes or became claimable; NULL: at once
    ADD COLUMN failures     integer NOT NULL DEFAULT 0,  -- tries that failed
    ADD COLUMN losses       integer NOT NULL DEFAULT 0,  -- how often it was lost with its worker
    ADD COLUMN errors       json[],                      -- the last 10 failures, the oldest first: attempt, workerId, at, error
    ADD COLUMN progress     json,                        -- what the worker of the last claim said last: percent, message, data, at
    ADD COLUMN timeout_at   timestamptz,                 -- when the time limit of the claimed task is over
    ADD COLUMN cancellation json,                        -- who called it off: by, reason, requestedAt, cancelAt
    ADD COLUMN options      json;                        -- of task.create: retry, timeoutMs, …

-- The failed tasks, each with its last error.
CREATE VIEW dead_letter AS
SELECT id, text, priority, metadata,
       assigned_to                                        AS worker,
       attempt, failures, losses, error,
       completed_at                                       AS failed_at,
       created_at
FROM tasks
WHERE status = 'failed';

-- The tasks that workers have in progress, and what they said last.
CREATE VIEW running AS
SELECT id, text, priority,
       assigned_to                                        AS worker,
       attempt,
       (progress ->> 'percent')::double precision         AS percent,
       progress ->> 'message'                             AS message,
       (progress ->> 'at')::timestamptz                   AS progressed_at,
       claimed_at,
       now() - claimed_at                                 AS age,
       timeout_at,
       cancellation IS NOT NULL                           AS cancel_requested
FROM tasks
WHERE status = 'in_progress';

-- A replaced view keeps its columns; new ones are added at the end.
CREATE OR REPLACE VIEW load_by_instance AS
SELECT assigned_to                                        AS instance,
       count(*) FILTER (WHERE status = 'pending')         AS waiting,
       count(*) FILTER (WHERE status = 'in_progress')     AS running,
       count(*) FILTER (WHERE status = 'completed')       AS completed,
       count(*) FILTER (WHERE status = 'failed')          AS failed,
       max(updated_at)                                    AS last_change,
       count(*) FILTER (WHERE status = 'cancelled')       AS cancelled
FROM tasks
WHERE assigned_to IS NOT NULL
GROUP BY assigned_to;

CREATE OR REPLACE VIEW throughput_by_minute AS
SELECT date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS minute,
       count(*) FILTER (WHERE status = 'completed')              AS completed,
       count(*) FILTER (WHERE status = 'failed')                 AS failed,
       round(avg(duration_ms), 1)                                AS avg_run_ms,
       count(*) FILTER (WHERE status = 'cancelled')              AS cancelled
FROM tasks
WHERE completed_at IS NOT NULL
GROUP BY date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';

-- A cancelled task did not run to its end.
CREATE OR REPLACE VIEW waiting_and_running_times AS
SELECT priority,
       count(*)                                                    AS tasks,
       round(avg(waited_ms), 1)                                    AS avg_wait_ms,
       percentile_disc(0.5)  WITHIN GROUP (ORDER BY waited_ms)     AS p50_wait_ms,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY waited_ms)     AS p95_wait_ms,
       max(waited_ms)                                              AS max_wait_ms,
       round(avg(duration_ms), 1)                                  AS avg_run_ms,
       percentile_disc(0.5)  WITHIN GROUP (ORDER BY duration_ms)   AS p50_run_ms,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms)   AS p95_run_ms,
       max(duration_ms)                                            AS max_run_ms
FROM tasks
WHERE completed_at IS NOT NULL AND status <> 'cancelled'
GROUP BY GROUPING SETS ((priority), ());

-- +goose Down
CREATE OR REPLACE VIEW waiting_and_running_times AS
SELECT priority,
       count(*)                                                    AS tasks,
       round(avg(waited_ms), 1)                                    AS avg_wait_ms,
       percentile_disc(0.5)  WITHIN GROUP (ORDER BY waited_ms)     AS p50_wait_ms,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY waited_ms)     AS p95_wait_ms,
       max(waited_ms)                                              AS max_wait_ms,
       round(avg(duration_ms), 1)                                  AS avg_run_ms,
       percentile_disc(0.5)  WITHIN GROUP (ORDER BY duration_ms)   AS p50_run_ms,
       percentile_disc(0.95) WITHIN GROUP (ORDER BY duration_ms)   AS p95_run_ms,
       max(duration_ms)                                            AS max_run_ms
FROM tasks
WHERE completed_at IS NOT NULL
GROUP BY GROUPING SETS ((priority), ());
DROP VIEW throughput_by_minute;
CREATE VIEW throughput_by_minute AS
SELECT date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS minute,
       count(*) FILTER (WHERE status = 'completed')              AS completed,
       count(*) FILTER (WHERE status = 'failed')                 AS failed,
       round(avg(duration_ms), 1)                                AS avg_run_ms
FROM tasks
WHERE completed_at IS NOT NULL
GROUP BY date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';
DROP VIEW load_by_instance;
CREATE VIEW load_by_instance AS
SELECT assigned_to                                        AS instance,
       count(*) FILTER (WHERE status = 'pending')         AS waiting,
       count(*) FILTER (WHERE status = 'in_progress')     AS running,
       count(*) FILTER (WHERE status = 'completed')       AS completed,
       count(*) FILTER (WHERE status = 'failed')          AS failed,
       max(updated_at)                                    AS last_change
FROM tasks
WHERE assigned_to IS NOT NULL
GROUP BY assigned_to;
DROP VIEW running;
DROP VIEW dead_letter;
ALTER TABLE tasks
    DROP COLUMN run_at, DROP COLUMN failures, DROP COLUMN losses, DROP COLUMN errors,
    DROP COLUMN progress, DROP COLUMN timeout_at, DROP COLUMN cancellation, DROP COLUMN options;
