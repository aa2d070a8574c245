package main

import (
	"cmp"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/doctor"
	"github.com/claudebench/claudebench/projections"
)

// exitDoctor are the exit codes of doctor. Its 2 is also that of wrong usage.
var exitDoctor = map[doctor.Level]int{doctor.Warn: 1, doctor.Fail: 2}

func newDoctor() *cobra.Command {
	cfg := &config.Config{}
	o := doctor.Options{Program: buildVersion()}
	t := &target{}
	format := textFormat
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Check a fleet as a careful operator would",
		Long: `Check the stores of a fleet and what runs on them, and say for each finding what to do:
settings that can lose data, memory and the time until it is full, disks, versions side by
side, certificates and tokens, readers of the log that are left behind, parked events, clocks,
migrations, what an interrupted flush has left, and the last verification.

Some checks need to know more: coordinator and certificate need --url, tokens needs
--auth-file, postgres and migrations need --database-url, and disk needs --disk, on the
machine that has it. They are skipped otherwise.

Doctor writes nothing. The Redis user of an auditor is enough, and a Postgres role that may
read. A check that lacks a permission, or gets no reply within three seconds, is "unknown".

Exit codes: 0 if everything is ok, 1 if there is a warning or an unknown, 2 if there is a
failure, for example a store that does not reply. Wrong usage is 2 as well; then there is no
report.`,
		Example: `  claudebench doctor
  claudebench doctor --format json --redis-url redis://localhost:6379 --database-url postgres://localhost/claudebench
  claudebench doctor --url https://cb.example --disk /var/lib/redis --skip settings,verification`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if format != textFormat && format != jsonFormat {
				return usageError(fmt.Errorf("--format %s: the formats are text and json", format))
			}
			redis, space, up, err := locateStores(cfg)
			if err != nil {
				return err
			}
			defer func() { _ = redis.Close() }()
			o.Redis, o.RedisURL, o.Keys, o.AuthFile = redis, cfg.RedisURL, space, cfg.AuthFile
			if up != nil {
				data, err := filepath.Abs(cfg.DataDir)
				if err != nil {
					return fmt.Errorf("data folder: %w", err)
				}
				o.Folders = append(o.Folders, data)
				t.url = cmp.Or(t.url, up.Address)
			}
			if t.url != "" {
				if o.Coordinator, err = t.dial(); err != nil {
					return err
				}
				defer o.Coordinator.Close()
			}
			if cfg.DatabaseURL != "" {
				if o.Postgres, err = projections.OpenPool(cmd.Context(), cfg.DatabaseURL, cfg.Namespace); err != nil {
					return usageError(err)
				}
				defer o.Postgres.Close()
			}
			report, err := doctor.Run(cmd.Context(), o)
			if err != nil {
				return usageError(fmt.Errorf("--skip: %w", err))
			}
			if format == jsonFormat {
				err = writeJSON(cmd.OutOrStdout(), report)
			} else {
				err = report.WriteText(cmd.OutOrStdout())
			}
			if code := exitDoctor[report.Level]; err == nil && code != 0 {
				err = exitError{code: code}
			}
			return err
		},
	}
	cmd.Flags().StringVar(&format, "format", textFormat, "text or json")
	cmd.Flags().StringSliceVar(&o.Skip, "skip", nil, "checks to leave out, as name,…, because you know and accept what they find")
	cmd.Flags().StringVar(&t.url, "url", "", "the URL of a coordinator to check (default: that of 'up')")
	cmd.Flags().StringVar(&t.ca, "ca", "", "PEM file of a private CA to trust, besides the CAs of the system")
	cmd.Flags().StringVar(&cfg.AuthFile, "auth-file", "", "YAML file of the accepted tokens, to be checked")
	cmd.Flags().StringArrayVar(&o.Folders, "disk", nil, "a folder whose disk is checked, such as that of Redis's files; repeat the flag for more (default: the\n"+
		"data folder of 'up')")
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	return cmd
}
