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

// Timeouts for starting and stopping a server on a busy machine.
const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
)

// folderPrefix is the prefix of the name of a test binary's temporary folder.
const folderPrefix = "claudebench-test-"

// inMain is set while Main runs. Without Main nobody would stop the servers.
var inMain atomic.Bool

// Main runs the tests, stops the servers that they started, and exits with the tests' exit code. It
// exits with 1 if the tests passed but left goroutines running or a server did not stop. It ignores
// goroutines that options exclude.
func Main(m *testing.M, options ...goleak.Option) {
	inMain.Store(true)
	redis.SetLogger(unheard{})
	code := m.Run()
	if err := errors.Join(runEndings(), stopAll()); err != nil {
		fmt.Fprintln(os.Stderr, "testenv:", err)
		code = max(code, 1)
	}
	// A failed test may have stopped half-way. Its goroutines say nothing new.
	if code == 0 {
		if err := goleak.Find(options...); err != nil {
			fmt.Fprintln(os.Stderr, "testenv: the tests left goroutines running:", err)
			code = 1
		}
	}
	os.Exit(code)
}

// endings are what AtEnd has collected.
var endings struct {
	sync.Mutex
	stop []func() error
}

// AtEnd makes [Main] call stop after the tests, before it looks for goroutines. An error of stop
// makes the test binary fail. It is for programs that the tests of a package share.
func AtEnd(stop func() error) {
	endings.Lock()
	defer endings.Unlock()
	endings.stop = append(endings.stop, stop)
}

func runEndings() error {
	endings.Lock()
	defer endings.Unlock()
	var errs []error
	for _, stop := range endings.stop {
		errs = append(errs, stop())
	}
	return errors.Join(errs...)
}

// unheard discards the Redis client's own messages, one for each attempt to connect. Tests stop
// servers and check the errors that calls return.
type unheard struct{}

// Printf implements the logger of the Redis client.
func (unheard) Printf(context.Context, string, ...any) {}

// folder is the temporary folder of the test binary. It is created when first needed.
var folder struct {
	sync.Mutex
	dir  string
	lock *devstack.Lock
}

// tempDir creates a folder inside the test binary's temporary folder. The user that Postgres runs
// as can reach it, which is not true of the folders of testing.TB.
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

// sweep removes the folders of test binaries that were killed. It keeps recent folders, because
// their test binary may be about to lock them or its servers may still be stopping.
func sweep(temp string) {
	dirs, _ := filepath.Glob(filepath.Join(temp, folderPrefix+"*")) // fails only for a bad pattern
	for _, dir := range dirs {
		info, err := os.Lstat(dir)
		if err != nil || !info.IsDir() || time.Since(info.ModTime()) < time.Minute {
			continue
		}
		lock, err := devstack.LockDir(dir)
		if err != nil {
			continue // in use, or another user's
		}
		_ = os.RemoveAll(dir) // if it fails, the next run tries again
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

// shared is a server that is started by the first test that needs it.
type shared[S stopper] struct {
	start func() (S, error)

	once    sync.Once
	started bool
	server  S
	err     error
}

// get returns the server. If it cannot be started, get fails the test with the reason.
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
	s.once.Do(func() {}) // it can no longer be started
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

// fatal fails the test. If a program is missing, the message says what to install.
func fatal(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, devstack.ErrNotInstalled) {
		t.Fatalf("the tests need real servers: %v; `make deps` installs them", err)
	}
	t.Fatal(err)
}
