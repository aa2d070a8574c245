-- +goose Up

CREATE VIEW tasks_by_status AS
SELECT status,
       count(*)                                           AS tasks,
       count(*) FILTER (WHERE assigned_to IS NOT NULL)    AS assigned,
       min(created_at)                                    AS oldest,
       max(updated_at)                                    AS last_change
FROM tasks
GROUP BY status;

-- The tasks that each instance has and had. Waiting tasks are assigned and not claimed yet.
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

-- A condition on minute, such as `WHERE minute > now() - interval '1 hour'`, reads only those minutes,
-- because there is an index on this expression. The expression converts to UTC because an index must not
-- depend on settings.
CREATE VIEW throughput_by_minute AS
SELECT date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC' AS minute,
       count(*) FILTER (WHERE status = 'completed')              AS completed,
       count(*) FILTER (WHERE status = 'failed')                 AS failed,
       round(avg(duration_ms), 1)                                AS avg_run_ms
FROM tasks
WHERE completed_at IS NOT NULL
GROUP BY date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC';

-- How long finished tasks waited for their last claim, and how long they ran, in milliseconds: a row for
-- each priority, and one with priority NULL for all priorities.
CREATE VIEW waiting_and_running_times AS
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

-- +goose Down
DROP VIEW waiting_and_running_times;
DROP VIEW throughput_by_minute;
DROP VIEW load_by_instance;
DROP VIEW tasks_by_status;
