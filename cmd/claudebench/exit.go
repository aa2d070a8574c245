package main

import (
	"errors"
	"fmt"
	"net"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/fleet"
	"github.com/claudebench/claudebench/internal/hookpolicy"
	"github.com/claudebench/claudebench/lua"
)

// Exit codes, the same for every command.
const (
	exitFailed      = 1 // it ran, and something failed or is broken
	exitUsage       = 2 // wrong usage: an argument, a flag or a variable
	exitUnavailable = 3 // a dependency cannot be reached or read
)

// exitError ends the program with a code. Without a cause nothing is printed, because everything
// was printed already.
type exitError struct {
	code  int
	cause error
}

func (e exitError) Error() string {
	if e.cause == nil {
		return fmt.Sprintf("exit %d", e.code)
	}
	return e.cause.Error()
}

func (e exitError) Unwrap() error { return e.cause }

// usageError marks an error as wrong usage. It returns nil for nil.
func usageError(err error) error { return withExitCode(exitUsage, err) }

// unavailableError marks an error of a store or coordinator that cannot be reached or read. It
// returns nil for nil.
func unavailableError(err error) error { return withExitCode(exitUnavailable, err) }

// withExitCode keeps a code that is already there.
func withExitCode(code int, err error) error {
	var marked exitError
	if err == nil || errors.As(err, &marked) {
		return err
	}
	return exitError{code, err}
}

// exitCode returns the exit code for an error. It recognizes unmarked errors of connections, and of
// a coordinator that does not fit the others.
func exitCode(err error) int {
	var marked exitError
	var network *net.OpError // not net.Error, because errors of files implement it
	var postgres *pgconn.ConnectError
	var newer *events.NewerLogError
	var different *fleet.DifferentError
	var databaseURL *pgconn.ParseConfigError
	var policy *hookpolicy.FileError
	switch {
	case err == nil:
		return 0
	case errors.As(err, &marked):
		return marked.code
	case errors.As(err, &databaseURL), errors.As(err, &policy):
		return exitUsage
	case errors.Is(err, lua.ErrUnavailable), errors.As(err, &network), errors.As(err, &postgres), errors.As(err, &newer):
		return exitUnavailable
	case errors.As(err, &different):
		return exitUsage
	}
	return exitFailed
}

// silent reports whether an error needs no message.
func silent(err error) bool {
	var marked exitError
	return errors.As(err, &marked) && marked.cause == nil
}
