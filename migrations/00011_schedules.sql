-- +goose Up

-- One row for each schedule, as of the event `seq`. The projection of tasks writes it. Every flush deletes
-- the rows, also one that keeps those of tasks, because the schedules are gone. Times are in whole milliseconds.
CREATE TABLE schedules (
    id         text        PRIMARY KEY,
    cron       text        NOT NULL,
    timezone   text        NOT NULL,
    task       json        NOT NULL,         -- the params of task.create
    paused     boolean     NOT NULL,
    catch_up   text        NOT NULL,
    next_tick  timestamptz,                  -- NULL while it is paused
    last_tick  timestamptz,
    last_task  text,                         -- the task of the last tick
    last_error json,                         -- why the last tick made none
    fired      bigint      NOT NULL,         -- ticks that made a task
    first_seq  bigint      NOT NULL,
    seq        bigint      NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL          -- of the last schedule.put
);

-- +goose Down
DROP TABLE schedules;
