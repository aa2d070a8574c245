package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

// The settings of River.
const (
	riverSchema = "river"
	riverConns  = 8                // in the pool
	riverLot    = 2_000            // jobs in an InsertManyFast or InsertMany
	riverPause  = time.Millisecond // between fetches; River accepts no shorter one
)

// riverWay is a way to use River.
type riverWay struct {
	fast    bool // InsertManyFast, else InsertMany
	workers int
}

// riverJob is a job with the text of the other figures' tasks.
type riverJob struct {
	Text string `json:"text"`
}

// Kind is the name of the job's type.
func (riverJob) Kind() string { return "task" }

// riverWorker counts the jobs.
type riverWorker struct {
	river.WorkerDefaults[riverJob]
	handled atomic.Int64
}

// Work does nothing.
func (w *riverWorker) Work(context.Context, *river.Job[riverJob]) error {
	w.handled.Add(1)
	return nil
}

// openRiver creates River's tables in the run's Postgres.
func openRiver(ctx context.Context, st *stack) (*pgxpool.Pool, error) {
	config, err := pgxpool.ParseConfig(st.postgres.URL())
	if err != nil {
		return nil, fmt.Errorf("open a pool for River: %w", err)
	}
	config.MaxConns = riverConns
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open a pool for River: %w", err)
	}
	if _, err := pool.Exec(ctx, "CREATE SCHEMA IF NOT EXISTS "+riverSchema); err != nil {
		return nil, fmt.Errorf("make a schema for River: %w", err)
	}
	migrator, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: riverSchema, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, fmt.Errorf("migrate River: %w", err)
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return nil, fmt.Errorf("migrate River: %w", err)
	}
	return pool, nil
}

// riverLives inserts n jobs and works them. The turn stops when River has recorded the last job as
// completed.
func riverLives(ctx context.Context, t *turn, pool *pgxpool.Pool, n int, way riverWay) error {
	if _, err := pool.Exec(ctx, "TRUNCATE "+riverSchema+".river_job"); err != nil {
		return fmt.Errorf("empty River's table: %w", err)
	}
	worker := &riverWorker{}
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	client, err := river.NewClient(riverpgxv5.New(pool), &river.Config{
		Schema: riverSchema, Workers: workers, Logger: slog.New(slog.DiscardHandler),
		Queues:        map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: way.workers}},
		FetchCooldown: riverPause, FetchPollInterval: riverPause,
	})
	if err != nil {
		return fmt.Errorf("start River: %w", err)
	}
	jobs := make([]river.InsertManyParams, riverLot)
	for i := range jobs {
		jobs[i].Args = riverJob{Text: taskText}
	}

	t.start()
	err = each(ctx, batchCallers, func(ctx context.Context, i int) error {
		for left := share(n, batchCallers, i); left > 0; left -= riverLot {
			var err error
			if lot := jobs[:min(left, riverLot)]; way.fast {
				_, err = client.InsertManyFast(ctx, lot)
			} else {
				_, err = client.InsertMany(ctx, lot)
			}
			if err != nil {
				return fmt.Errorf("insert into River: %w", err)
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return fmt.Errorf("start River: %w", err)
	}
	err = until(ctx, pollEvery/5, func() (bool, error) {
		if worker.handled.Load() < int64(n) {
			return false, nil
		}
		var open bool
		err := pool.QueryRow(ctx, "SELECT EXISTS (SELECT FROM "+riverSchema+".river_job WHERE state <> 'completed')").Scan(&open)
		return !open, err
	})
	t.stop(n)
	if err == nil && worker.handled.Load() != int64(n) {
		err = fmt.Errorf("worked %d jobs of %d in River", worker.handled.Load(), n)
	}
	return errors.Join(err, client.Stop(context.WithoutCancel(ctx)))
}
