package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/lua"
	"github.com/claudebench/claudebench/projections"
)

func newRebuild() *cobra.Command {
	cfg := &config.Config{}
	var o rebuildOptions
	cmd := &cobra.Command{
		Use:   "rebuild [PROJECTION…]",
		Short: "Compare projections with the log and build them again",
		Long: `Fold projections from the log into a second place, beside the live ones: state
(cb:state:global), metrics (cb:metrics:*), tasks (tasks, sessions and schedules in Postgres),
events (the index of events in Postgres), or all. Then compare both at the same event, print
what differs, and replace the live ones in one step.

Coordinators can run meanwhile. Nobody sees an incomplete projection, and if rebuild is
interrupted, the live ones are as they were. Events that were trimmed from the log come from
the archive; without one, they stay in the index, and the other projections are not rebuilt. In
Postgres, only the rows that differ are written: views, grants and indexes of yours stay.

Exit codes: 0 if the projections are now right, 1 if a rebuild failed or --dry-run found
differences, 2 for wrong usage, 3 if something cannot be read.`,
		Example: `  claudebench rebuild tasks
  claudebench rebuild --all --dry-run`,
		Args: func(cmd *cobra.Command, args []string) error {
			if o.all && len(args) == 0 {
				return nil
			}
			if o.all || cobra.MatchAll(cobra.MinimumNArgs(1), cobra.OnlyValidArgs)(cmd, args) != nil {
				return fmt.Errorf("rebuild %s: name projections or pass --all; the projections are %s", strings.Join(args, " "), strings.Join(cmd.ValidArgs, ", "))
			}
			return nil
		},
		ValidArgs: []string{"state", "metrics", "tasks", "events", "all"},
		RunE: func(cmd *cobra.Command, args []string) error {
			if o.all {
				args = []string{"all"}
			}
			return rebuild(cmd, cfg, args, o)
		},
	}
	cmd.Flags().BoolVar(&o.all, "all", false, "rebuild all projections")
	cmd.Flags().BoolVar(&o.dryRun, "dry-run", false, "compare only; exit with 1 if something differs")
	cmd.Flags().BoolVar(&o.takeOver, "take-over", false, "delete the rows of another log in Postgres and build them from the log in this Redis")
	cmd.MarkFlagsMutuallyExclusive("dry-run", "take-over")
	bindArchive(cmd, cfg)
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}

// rebuildOptions are the flags of rebuild.
type rebuildOptions struct{ all, dryRun, takeOver bool }

func rebuild(cmd *cobra.Command, cfg *config.Config, names []string, o rebuildOptions) error {
	ctx, takeOver := cmd.Context(), o.takeOver
	client, space, err := openStores(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = client.Close() }()
	stored, closeArchive, err := openArchive(cmd, cfg)
	if err != nil {
		return err
	}
	defer closeArchive()
	store := projections.RedisConfig{Client: client, Scripts: lua.NewRunner(client).On(space.Log()), Keys: space}
	inPostgres := func(name string) bool { return name == "tasks" || name == "events" }
	if i := slices.IndexFunc(names, inPostgres); i >= 0 && cfg.DatabaseURL == "" {
		return usageError(fmt.Errorf("rebuild %s needs Postgres: pass --database-url or set CB_DATABASE_URL", names[i]))
	}
	noLog := logExists(ctx, client, space)
	if noLog != nil && (!takeOver || cfg.DatabaseURL == "") {
		return noLog
	}
	all := []projections.Projection{projections.NewState(store), projections.NewMetrics(store)}
	if cfg.DatabaseURL != "" {
		pool, err := projections.OpenPool(ctx, cfg.DatabaseURL, cfg.Namespace)
		if err != nil {
			return err
		}
		defer pool.Close()
		// A Redis that lost its data has no log until a coordinator starts, and a coordinator does
		// not start until the rows are taken over. Without rows the namespace is probably a typo.
		if noLog != nil {
			has, err := pool.HasTaskViews(ctx)
			if err != nil {
				return err
			}
			if !has {
				return noLog
			}
		}
		postgres, err := postgresOf(ctx, store, pool, cfg.Namespace, takeOver)
		if err != nil {
			return err
		}
		tasks, index := projections.NewTasks(postgres), projections.NewEvents(postgres)
		all = append(all, tasks, index)
		if takeOver && slices.Contains(names, "tasks") {
			// A coordinator would refuse the rows of the index, which are of the same log.
			if err := index.Prepare(ctx); err != nil {
				return err
			}
		}
	}
	if takeOver && !slices.ContainsFunc(names, inPostgres) && !slices.Contains(names, "all") {
		return usageError(errors.New("--take-over works only with rebuild tasks, events or all"))
	}
	if slices.Contains(names, "all") {
		names = nil
		for _, p := range all {
			names = append(names, p.Name())
		}
	}
	runner, err := projections.NewRunner(projections.RunnerConfig{
		Client: client, Scripts: store.Scripts, Keys: space, Projections: all, Archive: stored, Logger: newLogger(cfg),
	})
	if err != nil {
		return err
	}
	differ := false
	for _, name := range names {
		same, err := rebuildOne(cmd, runner, name, o.dryRun)
		if err != nil {
			return err
		}
		differ = differ || !same
	}
	if o.dryRun && differ {
		return exitError{code: exitFailed}
	}
	return nil
}

// rebuildOne rebuilds a projection and prints what it found. It reports whether the live view was right.
func rebuildOne(cmd *cobra.Command, runner *projections.Runner, name string, dryRun bool) (same bool, err error) {
	progress := newRebuildProgress(cmd.ErrOrStderr(), name)
	began := time.Now()
	found, err := runner.RebuildWith(cmd.Context(), name, projections.RebuildOptions{DryRun: dryRun, Progress: progress.tell})
	progress.end()
	if err != nil {
		return false, err
	}
	writeRebuilt(cmd.OutOrStdout(), found)
	fmt.Fprintf(cmd.ErrOrStderr(), "%s: done in %s: folded %d events; %s\n", name, time.Since(began).Round(time.Millisecond), found.Events, outcome(found, dryRun))
	return found.Same(), nil
}

// postgresOf returns the configuration of the projections of the log in Redis.
func postgresOf(ctx context.Context, store projections.RedisConfig, pool *projections.Pool, namespace string, takeOver bool) (projections.PostgresConfig, error) {
	reader, err := events.NewReader(store.Client, events.ReaderConfig{Namespace: namespace})
	if err != nil {
		return projections.PostgresConfig{}, err
	}
	identity, err := projections.OpenLog(ctx, store)
	if err != nil {
		return projections.PostgresConfig{}, err
	}
	return projections.PostgresConfig{Pool: pool, Identity: identity, Log: reader, TakeOver: takeOver}, nil
}
