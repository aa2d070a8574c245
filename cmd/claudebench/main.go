// Command claudebench is the coordinator, and the tools to run and audit it. Run it with --help.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/terminal"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := runCommand(ctx, newRoot())
	if err != nil && !silent(err) {
		fmt.Fprintln(os.Stderr, "claudebench:", terminal.Escape(err.Error()))
	}
	return exitCode(err)
}

// runCommand runs the command that the arguments name. The root command does nothing by itself, so
// its only error is an unknown command.
func runCommand(ctx context.Context, root *cobra.Command) error {
	ran, err := root.ExecuteContextC(ctx)
	if ran == root {
		return usageError(err)
	}
	return err
}
