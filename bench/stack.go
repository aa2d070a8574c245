package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/bench/wire"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/redisconn"
)

// patience bounds anything that should be quick: a start, a drain, a backlog.
const patience = 60 * time.Second

// pollEvery is how often until checks its condition.
const pollEvery = 10 * time.Millisecond

// site is what all figures share: a folder, the binary to measure, and one Postgres, in which each
// namespace has its own schema.
type site struct {
	dir      string
	binary   string             // claudebench, as users build it
	profiles string             // folder for CPU profiles; "" for none
	postgres *devstack.Postgres // nil if it is not installed
}

// lacks returns the first of these programs that is not installed, or "".
func (s *site) lacks(programs ...string) string {
	for _, name := range programs {
		var err error
		switch name {
		case "redis-server":
			_, _, err = devstack.FindRedis()
		case "postgres":
			_, err = devstack.FindPostgres()
		default:
			_, err = exec.LookPath(name)
		}
		if err != nil {
			return name
		}
	}
	return ""
}

func newSite(ctx context.Context, profiles string) (*site, error) {
	dir, err := os.MkdirTemp("", "claudebench-bench-")
	if err != nil {
		return nil, fmt.Errorf("make a folder: %w", err)
	}
	s := &site{dir: dir, binary: filepath.Join(dir, "claudebench"), profiles: profiles}
	// Postgres may run as another user, which must be able to enter.
	if err := os.Chmod(dir, 0o711); err != nil { //nolint:gosec // others may enter, but not read
		return s, err
	}
	build := exec.CommandContext(ctx, "go", "build", "-o", s.binary, "./cmd/claudebench")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		return s, fmt.Errorf("build claudebench: %w\n%s", err, out)
	}
	if s.lacks("postgres") != "" {
		return s, nil
	}
	// As `claudebench up` starts it.
	s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return s, err
	}
	return s, nil
}

func (s *site) close() error {
	if s == nil {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	if s.postgres != nil {
		err = s.postgres.Stop(ctx)
	}
	return errors.Join(err, os.RemoveAll(s.dir))
}

// stack is one private Redis and the programs that use it. Each figure has its own, so that it
// starts with an empty Redis.
type stack struct {
	*site
	name     string
	server   *devstack.Redis
	client   redis.UniversalClient
	programs []*program
	kinds    map[int]string // of processes, by process ID, for usage
	ended    usage          // of direct children that have ended
}

func (s *site) newStack(ctx context.Context, name string) (*stack, error) {
	server, err := devstack.StartRedis(ctx, devstack.RedisOptions{
		Dir: filepath.Join(s.dir, "redis-"+name), AppendOnly: true,
		// A rewrite of the append-only file would hit one side or the other by chance.
		Extra: []string{"auto-aof-rewrite-percentage 0"},
	})
	if err != nil {
		return nil, err
	}
	st := &stack{site: s, name: name, server: server, kinds: map[int]string{}, ended: usage{}}
	if st.client, err = redisconn.Open(server.URL(), ""); err != nil {
		return st, errors.Join(err, st.close())
	}
	return st, nil
}

// close ends everything and deletes the data.
func (st *stack) close() error {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var err error
	for _, p := range st.programs {
		err = errors.Join(err, p.stop())
	}
	if st.client != nil {
		_ = st.client.Close()
	}
	// The data is not needed, so a kill is enough.
	return errors.Join(err, st.server.Kill(), ctx.Err(), os.RemoveAll(st.server.Dir()))
}

func (st *stack) dial(ctx context.Context) (*wire.Redis, error) {
	return wire.DialRedis(ctx, st.server.Addr(), st.server.Password())
}

// coordinator says which coordinator a figure needs.
type coordinator struct {
	namespace string
	bare      bool          // without projections, and so without Postgres
	ttl       time.Duration // of instances; 0 means long, because most figures send no heartbeats
	topics    string        // the default "" is all
}

// countedLimits are rate limits that count every call but reject none, so that the measurement
// includes their cost.
const countedLimits = "task.create=1000000000,task.claim=1000000000,task.complete=1000000000," +
	"system.register=1000000000,system.heartbeat=1000000000,system.unregister=1000000000"

// program is a coordinator that runs in its own process.
type program struct {
	addr string
	bare bool // without projections
	cmd  *exec.Cmd
	log  string
	done chan error
}

// serve starts a coordinator and returns when it is ready. It runs the binary that users run. Only
// for what that binary does not offer (no projections, a profile) it runs this program in its
// second role.
func (st *stack) serve(ctx context.Context, c coordinator) (*program, error) {
	port, err := devstack.FreePort()
	if err != nil {
		return nil, err
	}
	if c.ttl == 0 {
		c.ttl = time.Hour
	}
	p := &program{addr: "127.0.0.1:" + strconv.Itoa(port), bare: c.bare, done: make(chan error, 1)}
	args := []string{
		"--listen", p.addr, "--redis-url", st.server.URL(), "--namespace", c.namespace, "--rate-limits", countedLimits,
		"--instance-ttl", c.ttl.String(), "--log-level", "warn",
	}
	if c.topics != "" {
		args = append(args, "--topics", c.topics)
	}
	if !c.bare {
		args = append(args, "--database-url", st.postgres.URL())
	}
	env := os.Environ()
	if c.bare || st.profiles != "" {
		self, err := os.Executable()
		if err != nil {
			return nil, fmt.Errorf("find this program: %w", err)
		}
		role := roleFull
		if c.bare {
			role = roleBare
		}
		env = append(env, roleVariable+"="+role)
		if st.profiles != "" {
			env = append(env, profileVariable+"="+filepath.Join(st.profiles, c.namespace+".prof"))
		}
		p.cmd = exec.Command(self, args...)
	} else {
		p.cmd = exec.Command(st.binary, append([]string{"serve"}, args...)...)
	}
	p.log = filepath.Join(st.dir, c.namespace+".log")
	out, err := os.Create(p.log)
	if err != nil {
		return nil, fmt.Errorf("make the coordinator's log: %w", err)
	}
	defer out.Close()
	p.cmd.Env, p.cmd.Stdout, p.cmd.Stderr = env, out, out
	if err := p.cmd.Start(); err != nil {
		return nil, fmt.Errorf("start the coordinator: %w", err)
	}
	go func() { p.done <- p.cmd.Wait() }()
	st.programs, st.kinds[p.cmd.Process.Pid] = append(st.programs, p), kindCoordinator
	if err := p.ready(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// ready waits until the coordinator accepts commands.
func (p *program) ready(ctx context.Context) error {
	return until(ctx, pollEvery, func() (bool, error) {
		select {
		case err := <-p.done:
			p.done <- err
			text, _ := os.ReadFile(p.log)
			return false, fmt.Errorf("the coordinator ended: %w\n%s", err, text)
		default:
		}
		body, err := get(ctx, "http://"+p.addr+"/readyz")
		return err == nil && !bytes.Contains(body, []byte(`"degraded":true`)), nil // Postgres is migrated
	})
}

// get returns the body of a response, which must have status 200.
func get(ctx context.Context, url string) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %s", url, answer.Status, body)
	}
	return body, nil
}

func (p *program) stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case err := <-p.done:
		p.done <- nil
		if err != nil {
			return fmt.Errorf("the coordinator did not end well: %w", err)
		}
		return nil
	case <-timer.C:
		_ = p.cmd.Process.Kill()
		return fmt.Errorf("the coordinator did not end within %s of SIGTERM", patience)
	}
}

// until repeats done until it is true, for up to patience.
func until(ctx context.Context, every time.Duration, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	ticker := time.NewTicker(every)
	defer ticker.Stop()
	for {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("waited too long: %w", ctx.Err())
		case <-ticker.C:
		}
	}
}
