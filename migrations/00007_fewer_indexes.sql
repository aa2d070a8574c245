-- +goose Up

-- Each update writes an entry into every index, so the table has only those that a query of task.list
-- or a view needs:
--   tasks_pkey         the projection's own writes, and task.list by createdAt
--   tasks_status       task.list with a status
--   tasks_assigned_to  task.list with an instance, and load_by_instance
--   tasks_priority     task.list with a priority, or by it
--   tasks_finished     throughput_by_minute: ranges of time, for which a BRIN index of some kilobytes will do
-- task.list by updatedAt or completedAt sorts what its filters leave. It counts them anyway.
DROP INDEX tasks_id;
DROP INDEX tasks_updated_at;
DROP INDEX tasks_finished;
CREATE INDEX tasks_finished ON tasks USING brin ((date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'))
    WITH (pages_per_range = 32);

-- +goose Down
DROP INDEX tasks_finished;
CREATE INDEX tasks_finished ON tasks ((date_trunc('minute', completed_at AT TIME ZONE 'UTC') AT TIME ZONE 'UTC'))
    WHERE completed_at IS NOT NULL;
CREATE INDEX tasks_updated_at ON tasks (updated_at, num);
CREATE UNIQUE INDEX tasks_id ON tasks (id);
