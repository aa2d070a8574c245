-- +goose Up

-- task.list with an error searches the errors of the tasks that have one, which most have not. Only a task
-- that ends gets an entry, and its row needs new entries in the other indexes anyway.
-- The other filters have no index. A text or a member of the metadata would need a trigram index, whose
-- extension a server may not have, and which costs more than the rest of a write; each search reads the rows
-- that the other filters leave. An index by updated_at would end HOT updates: every change writes that column.
CREATE INDEX tasks_error ON tasks (num) WHERE error IS NOT NULL;

-- +goose Down
DROP INDEX tasks_error;
