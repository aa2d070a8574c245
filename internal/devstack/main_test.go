package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	if mode := os.Getenv(ownerMode); mode != "" {
		ownServers(mode) // the test binary runs itself, see death_test.go
		return
	}
	code := m.Run()
	if err := dropTemplate(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	if err := goleak.Find(); code == 0 && err != nil {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	os.Exit(code)
}

// tempDir returns a folder that the Postgres user can reach, which t.TempDir is not.
func tempDir(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "devstack-")
	if err == nil {
		err = os.Chmod(dir, 0o711)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	return dir
}

// template is the result of one initdb, for all tests that do not test initdb itself.
var template struct {
	once sync.Once
	dir  string
	err  error
}

func postgresTemplate(t *testing.T) string {
	t.Helper()
	template.once.Do(func() {
		if template.dir, template.err = os.MkdirTemp("", "devstack-template-"); template.err != nil {
			return
		}
		if template.err = os.Chmod(template.dir, 0o711); template.err != nil {
			return
		}
		p, err := StartPostgres(context.Background(), PostgresOptions{Dir: template.dir, Throwaway: true})
		if err != nil {
			template.err = err
			return
		}
		template.err = p.Stop(context.Background())
	})
	if template.err != nil {
		t.Fatal(template.err)
	}
	return template.dir
}

func dropTemplate() error {
	if template.dir == "" {
		return nil
	}
	return os.RemoveAll(template.dir)
}

func startRedis(t *testing.T, opts RedisOptions) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Kill(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func startPostgres(t *testing.T, dir string) *Postgres {
	t.Helper()
	p, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, Throwaway: true, Template: postgresTemplate(t)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return p
}

// ended waits until a server has noticed its end.
func ended(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(20 * time.Second):
		t.Fatal("the server has not ended")
	}
}

// gone waits until no process of the server in dir is alive, because all of them hold its lock.
func gone(t *testing.T, dir string) {
	t.Helper()
	f, err := waitLockFile(t.Context(), filepath.Join(dir, "server.lock"), 20*time.Second)
	if err != nil {
		t.Errorf("a process of the server lives: %v", err)
		return
	}
	f.Close()
}

func TestLockDir(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(tempDir(t), "new")
	lock, err := LockDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	_, err = LockDir(dir)
	var inUse *InUseError
	if !errors.As(err, &inUse) || inUse.PID != os.Getpid() || inUse.Dir != dir {
		t.Errorf("the second lock answers %v, want an InUseError with our process id", err)
	}
	if err := lock.Unlock(); err != nil {
		t.Fatal(err)
	}
	again, err := LockDir(dir)
	if err != nil {
		t.Fatalf("lock after Unlock: %v", err)
	}
	if err := errors.Join(again.Unlock(), again.Unlock()); err != nil {
		t.Errorf("unlock twice: %v", err)
	}
}

func TestFreePortIsOutsideTheEphemeralRange(t *testing.T) {
	t.Parallel()
	port, err := FreePort()
	if err != nil {
		t.Fatal(err)
	}
	if port < firstPort || port > lastPort {
		t.Errorf("port %d", port)
	}
}
