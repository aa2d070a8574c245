package main

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/archiver"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/lua"
)

func newArchive() *cobra.Command {
	cfg := &config.Config{}
	var once bool
	var decisions archiver.Config
	cmd := &cobra.Command{
		Use:   "archive",
		Short: "Copy the log into an archive",
		Long: `Copy the log into a folder of compressed JSON Lines, and go on with each new event until Ctrl-C.
The archive continues where it ended. One process archives a log: while a coordinator with
--archive-dir does, archive waits. docs/archive.md describes the files.

Archive ends with an error if the log and the archive contradict each other. The flags that
begin with --accept and --adopt are an operator's answer to such an error. What
--accept-rollback cuts off is kept in the folder set-aside.`,
		Example: `  claudebench archive --redis-url redis://localhost:6379 --archive-dir /var/lib/claudebench/archive
  claudebench archive --archive-dir ./archive --once`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, space, err := openStores(cmd.Context(), cfg)
			if err != nil {
				return err
			}
			defer func() { _ = client.Close() }()
			if cfg.ArchiveDir == "" {
				return usageError(errors.New("no folder given: pass --archive-dir or set CB_ARCHIVE_DIR"))
			}
			if err := logExists(cmd.Context(), client, space); err != nil {
				return err
			}
			o := decisions
			o.Client, o.Keys, o.Dir, o.Program, o.Logger = client, space, cfg.ArchiveDir, buildVersion(), newLogger(cfg)
			o.Scripts = lua.NewRunner(client).On(space.Log())
			a, err := archiver.New(o)
			if err != nil {
				return err
			}
			if err := a.Follow(cmd.Context(), once); err != nil {
				return err
			}
			_, err = fmt.Fprintf(cmd.ErrOrStderr(), "archived up to %s in %s\n", a.Status().Last, cfg.ArchiveDir)
			return err
		},
	}
	cmd.Flags().BoolVar(&once, "once", false, "end when what is in the log now is archived")
	cmd.Flags().BoolVar(&decisions.Adopt, "adopt", false, "make this archive the log's, which has another one")
	cmd.Flags().BoolVar(&decisions.AcceptGap, "accept-gap", false, "continue behind events that neither the log nor the archive has")
	cmd.Flags().BoolVar(&decisions.AcceptRollback, "accept-rollback", false, "set aside the archive's events that the log has lost, and continue from the log")
	cfg.BindArchive(cmd.Flags(), "the archive's folder (default: that of 'up' in the data folder)")
	bindRedis(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}
