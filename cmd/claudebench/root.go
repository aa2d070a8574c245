package main

import (
	"fmt"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/terminal"
)

func newRoot() *cobra.Command {
	root := &cobra.Command{
		Use:   "claudebench",
		Short: "Coordinate a fleet of AI agents and workers",
		Long: `ClaudeBench coordinates a fleet of AI agents and workers: they register, heartbeat,
claim and finish tasks by JSON-RPC 2.0. Every change is an event in a log on Redis
Streams, and the views in Redis and Postgres are derived from the log.

Start here:

  claudebench up                                   run everything on this machine, without set-up
  claudebench call task.create '{"text":"hello"}'  one call
  claudebench tail                                 watch the events

Every setting is a flag, else the environment variable in [brackets], else its
default.

Exit codes: 0 success, 1 failed or broken, 2 wrong usage, 3 a store or the coordinator
cannot be reached or read.`,
		Version:       fullVersion(),
		SilenceUsage:  true,
		SilenceErrors: true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if err := config.FromEnvironment(cmd.Flags()); err != nil {
				return usageError(err)
			}
			return usageError(cmd.ValidateFlagGroups())
		},
	}
	root.SetVersionTemplate("claudebench {{.Version}}\n")
	root.AddGroup(
		&cobra.Group{ID: "run", Title: "Run a coordinator:"},
		&cobra.Group{ID: "use", Title: "Use it:"},
		&cobra.Group{ID: "audit", Title: "Operate and audit it:"},
	)
	for group, commands := range map[string][]*cobra.Command{
		"run":   {newUp(), newServe(), newSeal()},
		"use":   {newWork(), newMCP(), newCall(), newTail(), newReady(), newEnv(), newInit()},
		"audit": {newState(), newHistory(), newDiff(), newReplay(), newVerify(), newProve(), newRebuild(), newArchive(), newCheckpoints(), newParked(), newTrim(), newDoctor(), newKeys(), newToken(), newPolicy()},
	} {
		for _, c := range commands {
			c.GroupID = group
			c.Args = usageArgs(c.Args)
			for _, sub := range c.Commands() {
				sub.Args = usageArgs(sub.Args)
				config.Describe(sub.Flags())
			}
			config.Describe(c.Flags())
			root.AddCommand(c)
		}
	}
	version := newVersion()
	version.Args = usageArgs(version.Args)
	root.AddCommand(version)
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError(err) })
	return root
}

// usageArgs turns errors about arguments into usage errors.
func usageArgs(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		err := check(cmd, args)
		switch {
		case err == nil:
			return nil
		case !cmd.HasSubCommands() && strings.HasPrefix(err.Error(), "unknown command"): // cobra.NoArgs
			err = fmt.Errorf("%s takes no arguments, but got %q", cmd.CommandPath(), args[0])
		case strings.HasPrefix(err.Error(), "accepts"):
			err = fmt.Errorf("%w; usage: %s", err, cmd.UseLine())
		}
		return usageError(err)
	}
}

// newLogger logs to stderr: text for people, JSON for machines.
func newLogger(cfg *config.Config) *slog.Logger {
	options := &slog.HandlerOptions{Level: cfg.LogLevel}
	format := cfg.LogFormat
	if format == "" {
		format = "json"
		if terminal.Is(os.Stderr) {
			format = "text"
		}
	}
	if format == "json" {
		return slog.New(slog.NewJSONHandler(os.Stderr, options))
	}
	return slog.New(slog.NewTextHandler(os.Stderr, options))
}
