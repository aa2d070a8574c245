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
