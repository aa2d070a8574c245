package main

import (
	"fmt"
	"io"
	"log/slog"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/terminal"
	"github.com/claudebench/claudebench/internal/timetravel"
)

// pastSource says in the help of the commands that read the past where they read it.
const pastSource = `With --url, or with CB_URL and no CB_REDIS_URL, it calls a coordinator instead, with the
token of an auditor in the environment variable CB_TOKEN, and needs no Redis.`

// bindPast adds the flags of a command that reads the past from the stores, or from a coordinator.
func bindPast(cmd *cobra.Command, cfg *config.Config, from *target) {
	bindArchive(cmd, cfg)
	bindStores(cmd, cfg)
	cfg.BindLog(cmd.Flags())
	from.bind(cmd)
	cmd.Flags().Lookup("url").Usage = "the URL of a coordinator to read from instead"
	cmd.MarkFlagsMutuallyExclusive("url", "redis-url", "data-dir")
	cmd.MarkFlagsMutuallyExclusive("url", "archive-dir")
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

// ask calls a coordinator.
func (t *target) ask(call func(c *client.Client) error) error {
	c, err := t.dial()
	if err != nil {
		return err
	}
	defer c.Close()
	return t.explained(call(c))
}

// fromLog reads the log in Redis and in the archive.
func fromLog(cmd *cobra.Command, cfg *config.Config, read func(log timetravel.Source) error) error {
	c, space, err := openStores(cmd.Context(), cfg)
	if err != nil {
		return err
	}
	defer func() { _ = c.Close() }()
	if err := logExists(cmd.Context(), c, space); err != nil {
		return err
	}
	stored, closeArchive, err := openArchive(cmd, cfg)
	if err != nil {
		return err
	}
	defer closeArchive()
	log, err := events.NewReader(c, events.ReaderConfig{Namespace: cfg.Namespace, Archive: stored, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return usageError(err)
	}
	return read(log)
}

func writeLines(w io.Writer, lines ...string) error {
	_, err := fmt.Fprintln(w, terminal.Escape(strings.Join(lines, "\n")))
	return err
}

func writeNotes(w io.Writer, notes []string) error {
	if len(notes) == 0 {
		return nil
	}
	return writeLines(w, "", "Note: "+strings.Join(notes, "\nNote: "))
}
