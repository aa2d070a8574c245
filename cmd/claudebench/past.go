package main

import (
	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
)

// pastSource says in the help of the commands that read the past where they read it.
const pastSource = `With --url, or with CB_URL and no CB_REDIS_URL, it calls a coordinator instead, with the
token of an auditor in the environment variable CB_TOKEN, and needs no Redis.`

// bindPast adds the flags of a command that reads the past from the stores, or from a coordinator.
func bindPast(cmd *cobra.Command, cfg *config.Config, from *target) {
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	from.bind(cmd)
	cmd.Flags().Lookup("url").Usage = "the URL of a coordinator to read from instead"
	cmd.MarkFlagsMutuallyExclusive("url", "redis-url", "data-dir")
}

// selected reports whether the coordinator is read, and not the stores.
func (t *target) selected(cmd *cobra.Command) bool {
	flags := cmd.Flags()
	if flags.Changed("url") {
		return true
	}
	redis := flags.Lookup("redis-url").Value.String()
	return t.url != "" && redis == "" && !flags.Changed("data-dir")
}
