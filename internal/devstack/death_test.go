package devstack

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
	"time"
)

// With these variables the test binary runs itself as a process that owns servers and is killed.
const (
	ownerMode     = "DEVSTACK_TEST_OWNER"
	ownerDir      = "DEVSTACK_TEST_DIR"
	ownerTemplate = "DEVSTACK_TEST_TEMPLATE"
)

// owned is what the owner prints when its servers run.
type owned struct {
	Redis, Postgres       string // addresses
	RedisPID, PostgresPID int
}

func ownServers(mode string) {
	useDeathSignal = mode != "watcher"
	useWatcher = mode != "signal"
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	ctx := context.Background()
	dir := os.Getenv(ownerDir)
	if _, err := LockDir(dir); err != nil {
		fail(err)
	}
	r, err := StartRedis(ctx, RedisOptions{Dir: filepath.Join(dir, "redis"), AppendOnly: true})
	if err != nil {
		fail(err)
	}
	p, err := StartPostgres(ctx, PostgresOptions{Dir: filepath.Join(dir, "postgres"), Throwaway: true, Template: os.Getenv(ownerTemplate)})
	if err != nil {
		fail(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(owned{r.Addr(), p.Addr(), r.child().process.Pid, p.child().process.Pid}); err != nil {
		fail(err)
	}
	select {
	case <-r.Done():
		fail(r.Err())
	case <-p.Done():
		fail(p.Err())
	}
}

func TestServersDieWithTheirOwner(t *testing.T) {
	t.Parallel()
	modes := []string{"both", "watcher"}
	if runtime.GOOS == "linux" {
		modes = append(modes, "signal")
	}
	for _, mode := range modes {
		t.Run(mode, func(t *testing.T) {
			t.Parallel()
			dir := tempDir(t)
			self, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), ownerMode+"="+mode, ownerDir+"="+dir, ownerTemplate+"="+postgresTemplate(t))
			cmd.Stderr = os.Stderr
			out, err := cmd.StdoutPipe()
			if err != nil {
				t.Fatal(err)
			}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			killed := false
			t.Cleanup(func() {
				if !killed {
					_ = cmd.Process.Kill()
					_ = cmd.Wait()
				}
			})
			line, err := bufio.NewReader(out).ReadBytes('\n')
			if err != nil {
				t.Fatalf("the owner did not come up: %v", err)
			}
			var o owned
			if err := json.Unmarshal(line, &o); err != nil {
				t.Fatalf("the owner said %q: %v", line, err)
			}
			for _, pid := range []int{o.RedisPID, o.PostgresPID} {
				if group, err := syscall.Getpgid(pid); err != nil || group != pid {
					t.Errorf("server %d is in process group %d (%v): Ctrl-C would reach it before us", pid, group, err)
				}
			}

			if err := cmd.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			_ = cmd.Wait() // its error is that it was killed
			killed = true
			gone(t, filepath.Join(dir, "redis"))
			gone(t, filepath.Join(dir, "postgres"))
			for _, addr := range []string{o.Redis, o.Postgres} {
				if conn, err := net.DialTimeout("tcp", addr, time.Second); err == nil {
					conn.Close()
					t.Errorf("somebody still listens on %s", addr)
				}
			}
			lock, err := LockDir(dir)
			if err != nil {
				t.Fatalf("the dead owner's folder: %v", err)
			}
			if err := lock.Unlock(); err != nil {
				t.Error(err)
			}
		})
	}
}
