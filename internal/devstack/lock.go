package devstack

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/claudebench/claudebench/internal/filelock"
)

// Lock is a lock on a folder. The kernel releases it when the process ends, in any way.
type Lock struct{ file *os.File }

// LockDir creates dir if it does not exist, and locks it for this process. If another living
// process holds it, the error is an [*InUseError] with the ID of that process.
func LockDir(dir string) (*Lock, error) {
	if err := makeDir(dir); err != nil {
		return nil, err
	}
	f, err := lockFile(filepath.Join(dir, "lock"))
	if err != nil {
		return nil, err
	}
	return &Lock{f}, nil
}

// Unlock releases the folder. It does not remove the lock file: otherwise a third process could
// lock a new file while a second one waits for the old one.
func (l *Lock) Unlock() error {
	if err := l.file.Close(); err != nil && !errors.Is(err, fs.ErrClosed) {
		return fmt.Errorf("unlock %s: %w", l.file.Name(), err)
	}
	return nil
}

// makeDir creates a folder that no other user can read. If root runs the program, others can enter
// the folder but not list it, so that a server of another user reaches its own part.
func makeDir(dir string) error {
	mode := fs.FileMode(0o700)
	if os.Geteuid() == 0 {
		mode = 0o711
	}
	if err := os.MkdirAll(dir, mode); err != nil {
		return fmt.Errorf("create the folder %s: %w", dir, err)
	}
	return nil
}

// realDir is makeDir, and returns the absolute path of the folder without links.
func realDir(dir string) (string, error) {
	if err := makeDir(dir); err != nil {
		return "", err
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find the folder: %w", err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return "", fmt.Errorf("find the folder: %w", err)
	}
	return dir, nil
}

// lockFile takes an exclusive lock on the file at path, without waiting.
func lockFile(path string) (*os.File, error) {
	f, err := filelock.Lock(path)
	var inUse *filelock.InUseError
	if errors.As(err, &inUse) {
		return nil, &InUseError{Dir: filepath.Dir(path), PID: inUse.PID}
	}
	return f, err
}

// waitLockFile is lockFile, but waits up to patience: a server whose owner was just killed may
// still be ending.
func waitLockFile(ctx context.Context, path string, patience time.Duration) (*os.File, error) {
	deadline := time.NewTimer(patience)
	defer deadline.Stop()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		f, err := lockFile(path)
		var inUse *InUseError
		if err == nil || !errors.As(err, &inUse) {
			return f, err
		}
		select {
		case <-tick.C:
		case <-deadline.C:
			return nil, err
		case <-ctx.Done():
			return nil, errors.Join(err, ctx.Err())
		}
	}
}
