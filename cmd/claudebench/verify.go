package main

import (
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/projections"
)

func newVerify() *cobra.Command {
	cfg := &config.Config{}
	var asJSON, quiet bool
	o := audit.Options{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Prove that the log and all that is stored agree",
		Long: `Read the log once and prove, or name what breaks: IDs rise and seq has no gaps; every
transition is lawful (no task finished twice, none owned by two); the global state, the
tasks, instances and queues in Redis, and the rows in Postgres, equal the fold of the log;
no key of a task, an instance or a queue is there that the log does not know. For that it
goes through all keys of that Redis, as no command does: a thousand at a time.
Commands may go on meanwhile. It writes nothing. A flush is waited for, and when one comes
in between, it begins again with what is there then.

Exit code 0 when all agrees, 1 when something does not, 2 for wrong usage, 3 when something
cannot be read.`,
		Example: `  claudebench verify
  claudebench verify --json --redis-url redis://localhost:6379 --database-url postgres://localhost/claudebench`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := logExists(cmd.Context(), client, cfg.Namespace); err != nil {
				return err
			}
			o.Redis, o.Namespace = client, cfg.Namespace
			if !quiet {
				o.Progress = cmd.ErrOrStderr()
			}
			if cfg.DatabaseURL != "" {
				if o.Postgres, err = projections.OpenPool(cmd.Context(), cfg.DatabaseURL, cfg.Namespace); err != nil {
					return err
				}
				defer o.Postgres.Close()
			}
			report, err := audit.Verify(cmd.Context(), o)
			if err != nil {
				return unavailableError(err)
			}
			if asJSON {
				err = report.WriteJSON(cmd.OutOrStdout())
			} else {
				_, err = report.WriteTo(cmd.OutOrStdout())
			}
			if err == nil && !report.OK() {
				err = exitError{code: exitFailed}
			}
			return err
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "print the report as JSON")
	cmd.Flags().BoolVar(&quiet, "quiet", false, "tell no progress on standard error")
	cmd.Flags().DurationVar(&o.Wait, "wait", 10*time.Second, "how long to wait for each projection that is behind, or a flush that gets no further")
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}
