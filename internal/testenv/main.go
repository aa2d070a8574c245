package testenv

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/redis/go-redis/v9"
	"go.uber.org/goleak"
)

// How long a server may take to start or to end, on a busy machine.
const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
)

// folderPrefix begins the name of a test binary's temporary folder.
const folderPrefix = "claudebench-test-"

// inMain is set while Main runs: without it nobody would stop the servers.
var inMain atomic.Bool

// Main runs the tests, stops the servers they started, and ends the process with the tests' exit
// code, or with 1 if the tests passed but left goroutines running or a server did not stop.
// Goroutines that options exclude are not looked at.
func Main(m *testing.M, options ...goleak.Option) {
	inMain.Store(true)
	redis.SetLogger(unheard{})
	code := m.Run()
	if err := stopAll(); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		code = max(code, 1)
	}
	// A failed test may well have stopped half-way; its goroutines tell nothing new.
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, "testenv: the tests left goroutines running:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// unheard takes what the Redis client says by itself, a line at each attempt to connect: tests stop
// servers, and look at the errors that calls give.
type unheard struct{}

// Printf is what the client calls.
func (unheard) Printf(context.Context, string, ...any) {}

// folder is the test binary's temporary folder, made when first needed.
var folder struct {
	sync.Mutex
	dir  string
	lock *devstack.Lock
}

// tempDir makes a folder inside the test binary's own. Unlike those of testing.TB, the user that
// Postgres runs as can reach it.
func tempDir(name string) (string, error) {
	folder.Lock()
	defer folder.Unlock()
	if folder.dir == "" {
		sweep(os.TempDir())
		dir, err := os.MkdirTemp("", folderPrefix)
		if err != nil {
			return "", fmt.Errorf("make the tests' folder: %w", err)
		}
		if err := os.Chmod(dir, 0o711); err != nil {
			return "", fmt.Errorf("make the tests' folder: %w", err)
		}
		lock, err := devstack.LockDir(dir)
		if err != nil {
			return "", err
		}
		folder.dir, folder.lock = dir, lock
	}
	dir, err := os.MkdirTemp(folder.dir, name+"-")
	if err != nil {
		return "", fmt.Errorf("make a test's folder: %w", err)
	}
	if err := os.Chmod(dir, 0o711); err != nil {
		return "", fmt.Errorf("make a test's folder: %w", err)
	}
	return dir, nil
}

// sweep removes what test binaries that were killed could not remove themselves. Young folders
// stay: they may belong to one that is about to lock them, or whose servers are still ending.
func sweep(temp string) {
	dirs, _ := filepath.Glob(filepath.Join(temp, folderPrefix+"*")) // fails on a bad pattern only
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := devstack.LockDir(dir)
		if err != nil {
			continue // in use, or another user's
		}
		_ = os.RemoveAll(dir) // what cannot be removed is tried again next time
		_ = lock.Unlock()
	}
}

// stopAll stops the shared servers and removes the folder.
func stopAll() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	err := errors.Join(sharedRedis.stop(ctx), sharedPostgres.stop(ctx))
	folder.Lock()
	defer folder.Unlock()
	if folder.dir == "" {
		return err
	}
	err = errors.Join(err, os.RemoveAll(folder.dir), folder.lock.Unlock())
	folder.dir = ""
	return err
}

// stopper is what the shared servers have in common.
type stopper interface {
	Stop(ctx context.Context) error
}

// shared is a server that the first test to need it starts.
type shared[S stopper] struct {
	start func() (S, error)

	once    sync.Once
	started bool
	server  S
	err     error
}

// get returns the server, or fails the test with the reason why there is none.
func (s *shared[S]) get(t testing.TB) S {
	t.Helper()
	needMain(t)
	s.once.Do(func() {
		s.server, s.err = s.start()
		s.started = s.err == nil
	})
	if s.err != nil {
		fatal(t, s.err)
	}
	return s.server
}

func (s *shared[S]) stop(ctx context.Context) error {
	s.once.Do(func() {}) // nobody starts it from here on
	if !s.started {
		return nil
	}
	return s.server.Stop(ctx)
}

func needMain(t testing.TB) {
	t.Helper()
	if !inMain.Load() {
		t.Fatal("this package needs: func TestMain(m *testing.M) { testenv.Main(m) }")
	}
}

// fatal fails the test, and returns what to do when a program is missing.
func fatal(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, devstack.ErrNotInstalled) {
		t.Fatalf("the tests need real servers: %v; `make deps` installs them", err)
	}
	t.Fatal(err)
}
