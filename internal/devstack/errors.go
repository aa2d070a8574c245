package devstack

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotInstalled means that the binary of a server was not found on this machine.
var ErrNotInstalled = errors.New("not installed")

// StartError is the reason why a server did not start.
type StartError struct {
	Server  string // "Redis" or "Postgres"
	Err     error  // an exit, a timeout or a rejection
	LogPath string // the server's whole log
	LogTail string // its last lines of this start; may be empty
}

func (e *StartError) Error() string {
	if e.LogTail == "" {
		return fmt.Sprintf("start %s: %v (log: %s)", e.Server, e.Err, e.LogPath)
	}
	return fmt.Sprintf("start %s: %v; the end of its log, %s:\n  %s",
		e.Server, e.Err, e.LogPath, strings.ReplaceAll(e.LogTail, "\n", "\n  "))
}

func (e *StartError) Unwrap() error { return e.Err }

// InUseError means that another living process holds a folder.
type InUseError struct {
	Dir string
	PID int // the holder, or 0 if unknown
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("%s is in use by another process; stop that process", e.Dir)
	}
	return fmt.Sprintf("%s is in use by process %d; stop that process", e.Dir, e.PID)
}

// VersionError means that the major version that wrote a Postgres data folder is not on this
// machine.
type VersionError struct {
	DataDir string
	Data    int // the major version that wrote DataDir
	Found   int // the major version that would have been used
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s was written by Postgres %d, but this machine has Postgres %d; install Postgres %d, "+
		"convert the folder with pg_upgrade, or move it away to start with an empty database (the task views are rebuilt from the log)",
		e.DataDir, e.Data, e.Found, e.Data)
}
