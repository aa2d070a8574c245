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
	seals := sealFlags{}
	cmd := &cobra.Command{
		Use:   "verify",
		Short: "Check that everything stored agrees with the log",
		Long: `Read the log once, and check the log and everything stored. IDs must rise, and seq must have
no gaps. Every transition must be allowed: no task is finished twice, and none has two owners.
The global state, tasks, instances and queues in Redis, and the rows in Postgres, must equal
the fold of the log. Redis must contain no task, instance or queue that the log does not
contain; for this check, verify scans all keys of that Redis, a thousand at a time.

Commands can run meanwhile. Verify writes nothing. It waits for a flush to end, and starts
again if a flush begins while it runs.

With --seals, verify checks something else: that the log is what was sealed. It checks the
signature of the checkpoint, that it contains the checkpoint that you kept from an earlier time
(--since), each leaf, and each event of the log against its leaf, and names the first changed,
removed or inserted event.

Exit codes: 0 if everything agrees, 1 if something does not, 2 for wrong usage, 3 if
something cannot be read.`,
		Example: `  claudebench verify
  claudebench verify --seals ./seals --key fleet.pub --since kept.checkpoint --save kept.checkpoint
  claudebench verify --json --redis-url redis://localhost:6379 --database-url postgres://localhost/claudebench`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := seals.check(cmd); err != nil {
				return usageError(err)
			}
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if err := logExists(cmd.Context(), client, space); err != nil {
				return err
			}
			stored, closeArchive, err := openArchive(cmd, cfg)
			if err != nil {
				return err
			}
			defer closeArchive()
			if seals.seals != "" {
				return seals.verify(cmd, client, space, stored, asJSON)
			}
			o.Redis, o.Keys, o.Archive, o.ReadOnly = client, space, stored, true
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
	cmd.Flags().BoolVar(&quiet, "quiet", false, "do not print progress")
	cmd.Flags().DurationVar(&o.Wait, "wait", 10*time.Second, "how long to wait for a projection to catch up, or for a flush to make progress")
	seals.bind(cmd)
	cmd.Flags().StringVar(&seals.since, "since", "", "a file with the checkpoint that you kept from an earlier time")
	cmd.Flags().StringVar(&seals.save, "save", "", "write the checkpoint to this file if everything agrees, to keep it")
	bindArchive(cmd, cfg)
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}
