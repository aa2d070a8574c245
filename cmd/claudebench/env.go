package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
)

func newEnv() *cobra.Command {
	cfg := &config.Config{}
	cmd := &cobra.Command{
		Use:   "env",
		Short: "Print the addresses of the servers of 'up' as shell variables",
		Long: `Print the addresses of the servers that 'claudebench up' runs as shell variables: CB_URL,
CB_REDIS_URL, CB_DATABASE_URL and CB_NAMESPACE. The other commands of this program read them,
and you can pass them to redis-cli and psql. They contain the passwords of the private
servers.`,
		Example: `  eval "$(claudebench env)"
  redis-cli -u "$CB_REDIS_URL" XLEN cb:stream:events
  psql "$CB_DATABASE_URL" -c 'SELECT * FROM tasks_by_status'`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			running, err := runningIn(cfg.DataDir)
			if err != nil {
				return err
			}
			return printEnv(cmd.OutOrStdout(), running)
		},
	}
	cfg.BindDataDir(cmd.Flags())
	return cmd
}

// runningIn returns the servers of the coordinator that `up` runs in a data folder.
func runningIn(dir string) (endpoints, error) {
	running, err := readEndpoints(dir)
	if errors.Is(err, os.ErrNotExist) {
		return running, unavailableError(fmt.Errorf("'claudebench up' does not run in %s; start it, or pass the folder in which it runs with --data-dir", dir))
	}
	return running, err
}

func printEnv(w io.Writer, e endpoints) error {
	for _, v := range []struct{ name, value string }{
		{"CB_URL", e.Address}, {"CB_REDIS_URL", e.RedisURL}, {"CB_DATABASE_URL", e.DatabaseURL}, {"CB_NAMESPACE", e.Namespace},
	} {
		if v.value == "" {
			continue
		}
		if _, err := fmt.Fprintf(w, "export %s='%s'\n", v.name, strings.ReplaceAll(v.value, "'", `'\''`)); err != nil {
			return err
		}
	}
	return nil
}
