package devstack

import (
	"errors"
	"fmt"
	"strings"
)

// ErrNotInstalled reports that a server's binary was not found on this machine.
var ErrNotInstalled = errors.New("not installed")

// StartError says why a server did not come up.
type StartError struct {
	Server  string // "Redis" or "Postgres"
	Err     error  // what was noticed: an exit, a timeout, a refusal
	LogPath string // the server's whole log
	LogTail string // its last lines of this start, perhaps empty
}

func (e *StartError) Error() string {
	if e.LogTail == "" {
		return fmt.Sprintf("start %s: %v (log: %s)", e.Server, e.Err, e.LogPath)
	}
	return fmt.Sprintf("start %s: %v; the end of its log, %s:\n  %s",
		e.Server, e.Err, e.LogPath, strings.ReplaceAll(e.LogTail, "\n", "\n  "))
}

func (e *StartError) Unwrap() error { return e.Err }

// InUseError reports that another living process holds a folder.
type InUseError struct {
	Dir string
	PID int // who holds it; 0 if that could not be read
}

func (e *InUseError) Error() string {
	if e.PID == 0 {
		return fmt.Sprintf("the folder %s is in use by another process: stop that one, or choose another folder", e.Dir)
	}
	return fmt.Sprintf("the folder %s is in use by process %d: stop that one, or choose another folder", e.Dir, e.PID)
}

// VersionError reports that a Postgres data folder was written by a major version that is not on
// this machine.
type VersionError struct {
	DataDir string
	Data    int // the major version that wrote DataDir
	Found   int // the major version that would have been used
}

func (e *VersionError) Error() string {
	return fmt.Sprintf("%s was written by Postgres %d, but this machine has Postgres %d: install Postgres %d, "+
		"or convert the folder with pg_upgrade, or move it away to start with an empty one (the task views are rebuilt from the log)",
		e.DataDir, e.Data, e.Found, e.Data)
}
