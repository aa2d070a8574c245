// Command claudebench is the coordinator, and the tools of those who run and audit it. Run it with
// --help.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

func main() { os.Exit(run()) }

func run() int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	err := newRoot().ExecuteContext(ctx)
	var silent exitError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &silent):
		return silent.code
	}
	fmt.Fprintln(os.Stderr, "claudebench:", err)
	return 1
}

// exitError ends the program with a code when all has been said already.
type exitError struct{ code int }

func (e exitError) Error() string { return fmt.Sprintf("exit %d", e.code) }
