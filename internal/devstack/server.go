package devstack

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/claudebench/claudebench/internal/filelock"
)

const (
	defaultStartTimeout = 2 * time.Minute
	pollEvery           = 10 * time.Millisecond
	portTries           = 5
	maxLog              = 8 << 20 // bytes; a longer log is moved aside at the next start
	tailLines           = 20
)

// server is what Redis and Postgres have in common: a child in a folder that is started, watched,
// stopped and restarted.
type server struct {
	name string         // for people: "Redis"
	dir  string         // contains the lock, the log and the password
	stop syscall.Signal // shuts it down

	life sync.Mutex // one start, stop or restart at a time

	mu  sync.Mutex
	cur *child
}

func (s *server) child() *child {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cur
}

func (s *server) setChild(c *child) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.cur = c
}

func (s *server) logPath() string { return filepath.Join(s.dir, "server.log") }

// lock waits until all processes of an earlier start in this folder have ended.
func (s *server) lock(ctx context.Context) (*os.File, error) {
	return waitLockFile(ctx, filepath.Join(s.dir, "server.lock"), 30*time.Second)
}

// launch starts cmd, which holds lock, and calls ready until it returns true. An error of ready is
// final.
func (s *server) launch(ctx context.Context, cmd command, ready func(context.Context, *child) (bool, error)) error {
	log, from, err := openLog(s.logPath())
	if err != nil {
		return err
	}
	defer log.Close()
	fail := func(err error) error {
		return &StartError{Server: s.name, Err: err, LogPath: s.logPath(), LogTail: logTail(s.logPath(), from)}
	}
	cmd.log = log
	c, err := startChild(cmd)
	if err != nil {
		return fail(err)
	}
	// The lock file names the server's process, not ours, to people who find the folder in use.
	if err := filelock.WritePID(cmd.lock, c.process.Pid); err != nil {
		return errors.Join(err, s.killChild(c))
	}
	if err := s.await(ctx, c, ready); err != nil {
		return fail(errors.Join(err, s.killChild(c)))
	}
	s.setChild(c)
	return nil
}

func (s *server) await(ctx context.Context, c *child, ready func(context.Context, *child) (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		ok, err := ready(ctx, c)
		if err != nil || ok {
			return err
		}
		select {
		case <-tick.C:
		case <-c.done:
			_, exit := c.ended()
			return fmt.Errorf("it exited at once (%s)", exitText(exit))
		case <-ctx.Done():
			return fmt.Errorf("it was not ready before the timeout: %w", ctx.Err())
		}
	}
}

func (s *server) killChild(c *child) error {
	if err := c.end(syscall.SIGKILL); err != nil {
		return err
	}
	<-c.done
	return nil
}

// shutdown asks the server to stop and waits. If ctx ends first, it kills the server and the error
// says so.
func (s *server) shutdown(ctx context.Context) error {
	c := s.child()
	select {
	case <-c.done:
		return nil
	default:
	}
	// A paused server would get the signal only later.
	if err := errors.Join(c.end(s.stop), c.signal(syscall.SIGCONT)); err != nil {
		return fmt.Errorf("stop %s: %w", s.name, err)
	}
	select {
	case <-c.done:
		return nil
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("stop %s: it did not stop before the timeout and was killed: %w", s.name, ctx.Err()), s.killChild(c))
	}
}

// kill returns when the processes that the server started have ended too: a rewrite of the
// append-only file writes into the folder until it notices.
func (s *server) kill() error {
	err := s.killChild(s.child())
	if err == nil {
		var lock *os.File
		if lock, err = s.lock(context.Background()); err == nil {
			err = lock.Close()
		}
	}
	if err != nil {
		return fmt.Errorf("kill %s: %w", s.name, err)
	}
	return nil
}

// err returns nil while the server runs, and after an expected end.
func (s *server) err() error {
	c := s.child()
	select {
	case <-c.done:
	default:
		return nil
	}
	expected, exit := c.ended()
	if expected {
		return nil
	}
	return fmt.Errorf("%s stopped unexpectedly (%s); the end of its log, %s:\n  %s", s.name, exitText(exit), s.logPath(),
		strings.ReplaceAll(logTail(s.logPath(), 0), "\n", "\n  "))
}

func exitText(exit error) string {
	if exit == nil {
		return "exit status 0"
	}
	return exit.Error()
}

// openLog opens the log for appending and returns the offset at which this start begins.
func openLog(path string) (f *os.File, from int64, err error) {
	if info, err := os.Stat(path); err == nil && info.Size() > maxLog {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, fmt.Errorf("rotate the server's log: %w", err)
		}
	}
	f, err = os.OpenFile(path, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open the server's log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return nil, 0, fmt.Errorf("open the server's log: %w", err)
	}
	return f, info.Size(), nil
}

// logTail returns the last lines written to the log after from.
func logTail(path string, from int64) string {
	f, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer f.Close()
	const most = 16 << 10
	if info, err := f.Stat(); err == nil && info.Size()-from > most {
		from = info.Size() - most
	}
	text, err := io.ReadAll(io.NewSectionReader(f, from, most))
	if err != nil {
		return ""
	}
	lines := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-tailLines):], []byte("\n")))
}

// portTaken reports whether a start failed because another process took the port that FreePort had
// found.
func portTaken(err error) bool {
	var start *StartError
	return errors.As(err, &start) && strings.Contains(start.LogTail, "Address already in use")
}

// password reads the generated password in the folder, or generates one.
func password(dir string) (string, error) {
	path := filepath.Join(dir, "password")
	text, err := os.ReadFile(path)
	if err == nil && len(bytes.TrimSpace(text)) > 0 {
		return string(bytes.TrimSpace(text)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read the server's password: %w", err)
	}
	var random [16]byte
	_, _ = rand.Read(random[:]) // never fails: see crypto/rand
	pw := hex.EncodeToString(random[:])
	if err := WriteFile(path, pw+"\n"); err != nil {
		return "", err
	}
	return pw, nil
}

// WriteFile replaces the file at path atomically. Only this user can read it, whatever mode and owner
// the file had before.
func WriteFile(path, text string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // mode 0600
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	_, err = f.WriteString(text)
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		_ = os.Remove(f.Name())
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}
