package lua

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestRunWithoutRedis(t *testing.T) {
	t.Parallel()
	port, err := devstack.FreePort()
	if err != nil {
		t.Fatal(err)
	}
	r := NewRunner(clientTo(t, fmt.Sprintf("127.0.0.1:%d", port), ""))
	for _, d := range []time.Duration{50 * time.Millisecond, 500 * time.Millisecond, 3 * time.Second} {
		start := time.Now()
		_, err := r.Run(within(t, d), counts(), []string{"n"}, 1)
		took := time.Since(start)
		if !errors.Is(err, ErrUnavailable) && !errors.Is(err, ErrOutcomeUnknown) || took > d+time.Second {
			t.Errorf("within %v: %v after %v", d, err, took)
		}
		if d > retryFor && !errors.Is(err, ErrUnavailable) {
			t.Errorf("nothing was sent, and yet: %v", err)
		}
	}
}

// A call waits for a restart of Redis and then runs.
func TestRunWaitsForARestart(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	c := clientTo(t, server.Addr(), server.Password())
	r, s := NewRunner(c), counts()
	if _, err := r.Run(within(t, patience), s, []string{"n"}, 1); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	// A call on an old, dead connection may have an unknown outcome. Later calls certainly have not
	// run.
	testenv.Eventually(t, patience, func() (bool, string) {
		_, err := r.Run(within(t, 100*time.Millisecond), s, []string{"n"}, 1)
		return errors.Is(err, ErrUnavailable), fmt.Sprint(err)
	})
	var g errgroup.Group
	for range 50 {
		g.Go(func() error {
			for { // each Run retries for retryFor
				_, err := r.Run(t.Context(), s, []string{"after"}, 1)
				if !errors.Is(err, ErrUnavailable) {
					return err
				}
			}
		})
	}
	if err := server.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := counter(t, c, "after"); n != 50 {
		t.Errorf("ran %d times", n)
	}
}

// proxy forwards what a client sends to Redis, and the replies until swallow is set.
type proxy struct {
	net.Listener
	to      string
	swallow atomic.Bool
	mu      sync.Mutex
	open    []net.Conn
}

func newProxy(t *testing.T, to string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{Listener: l, to: to}
	var g sync.WaitGroup
	g.Go(func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", to)
			if err != nil {
				_ = client.Close()
				continue
			}
			p.mu.Lock()
			p.open = append(p.open, client, server)
			p.mu.Unlock()
			g.Go(func() { _, _ = io.Copy(server, client) })
			g.Go(func() {
				buffer := make([]byte, 64<<10)
				for {
					n, err := server.Read(buffer)
					if err != nil {
						return
					}
					if p.swallow.Load() { // Redis has replied, but the client loses the reply
						p.cut()
						return
					}
					if _, err := client.Write(buffer[:n]); err != nil {
						return
					}
				}
			})
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		p.cut()
		g.Wait()
	})
	return p
}

// cut closes all connections.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, c := range p.open {
		_ = c.Close()
	}
	p.open = nil
}

// A lost reply is neither a success nor a failure, and the script does not run again.
func TestRunReplyLost(t *testing.T) {
	t.Parallel()
	server := testenv.Redis(t)
	p := newProxy(t, server.Addr())
	c, direct, key := clientTo(t, p.Addr().String(), server.Password()), shared(t), testenv.Namespace(t)
	r, s := NewRunner(c), counts()
	if _, err := r.Run(within(t, patience), s, []string{key}, 1); err != nil {
		t.Fatal(err)
	}
	p.swallow.Store(true)
	_, err := r.Run(within(t, patience), s, []string{key}, 1)
	if !errors.Is(err, ErrOutcomeUnknown) || errors.Is(err, ErrUnavailable) {
		t.Errorf("answered %v", err)
	}
	p.swallow.Store(false)
	if _, err := r.Run(within(t, patience), s, []string{key}, 1); err != nil {
		t.Errorf("afterwards: %v", err)
	}
	if n := counter(t, direct, key); n != 3 {
		t.Errorf("ran %d times, want 3", n)
	}

	// A script that counts for a rate limit is not repeated, because it would count the call twice.
	counting := script("redis.call('INCRBY', KEYS[1], 1)\n--- @readonly\n")
	counting.Counts = true
	if _, err := r.Run(within(t, patience), counting, []string{key}); err != nil {
		t.Fatal(err)
	}
	p.swallow.Store(true)
	if _, err := r.Run(within(t, patience), counting, []string{key}); !errors.Is(err, ErrUnavailable) {
		t.Errorf("answered %v", err)
	}
	p.swallow.Store(false)
	if n := counter(t, direct, key); n != 5 {
		t.Errorf("ran %d times, want 5", n)
	}
	for _, s := range scripts {
		if uses := strings.Contains(s.Source, "local function limit("); uses != s.Counts {
			t.Errorf("%s counts: %v", s.Name, s.Counts)
		}
	}

	// A script that only reads is repeated, because nothing was lost.
	reads := script("return redis.call('GET', KEYS[1])\n--- @readonly\n")
	if !reads.ReadOnly {
		t.Fatal("not marked")
	}
	if _, err := r.Run(within(t, patience), reads, []string{key}); err != nil {
		t.Fatal(err)
	}
	p.swallow.Store(true)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() {
		reply, err := r.Run(ctx, reads, []string{key})
		if err == nil && reply != "5" {
			err = fmt.Errorf("read %v", reply)
		}
		done <- err
	}()
	testenv.Eventually(t, patience, func() (bool, string) {
		p.mu.Lock()
		defer p.mu.Unlock()
		return len(p.open) == 0, "nothing was swallowed"
	})
	p.swallow.Store(false)
	if err := <-done; err != nil {
		t.Errorf("a script that only reads: %v", err)
	}
}

// While Redis hangs, every call returns by its deadline. A call that failed with ErrUnavailable has
// not run, even after Redis resumes.
func TestRunWhileRedisHangs(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	c := clientTo(t, server.Addr(), server.Password())
	r := NewRunner(c)
	adds := script("redis.call('SADD', KEYS[1], ARGV[1])\nreturn 1\n")
	if _, err := r.Run(within(t, patience), adds, []string{"ran"}, "first"); err != nil {
		t.Fatal(err)
	}
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	told := map[string]error{}
	var g sync.WaitGroup
	for i := range 300 {
		g.Go(func() {
			start := time.Now()
			_, err := r.Run(within(t, 300*time.Millisecond), adds, []string{"ran"}, i)
			if took := time.Since(start); took > 2*time.Second {
				t.Errorf("answered after %v", took)
			}
			mu.Lock()
			defer mu.Unlock()
			told[fmt.Sprint(i)] = err
		})
	}
	g.Wait()
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	// Once a later call has run and no call is left, Redis has run all that it received.
	testenv.Eventually(t, patience, func() (bool, string) {
		_, err := r.Run(within(t, time.Second), adds, []string{"ran"}, "last")
		r.mu.Lock()
		defer r.mu.Unlock()
		return err == nil && r.inFlight == 0 && len(r.waiting) == 0, fmt.Sprint(err)
	})
	ran := map[string]bool{}
	for _, member := range c.SMembers(t.Context(), "ran").Val() {
		ran[member] = true
	}
	unavailable, unknown := 0, 0
	for member, err := range told {
		switch {
		case errors.Is(err, ErrUnavailable):
			unavailable++
			if ran[member] {
				t.Errorf("%s was told %v, and ran", member, err)
			}
		case errors.Is(err, ErrOutcomeUnknown):
			unknown++
		default:
			t.Errorf("%s was told %v", member, err)
		}
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("%s was told %v", member, err)
		}
	}
	if unavailable == 0 || unknown == 0 {
		t.Errorf("%d were told that nothing was done, %d that it is not known", unavailable, unknown)
	}
}

// loading counts the calls that Redis refused because it was loading its data.
type loading struct{ n atomic.Int32 }

func (*loading) DialHook(next redis.DialHook) redis.DialHook          { return next }
func (*loading) ProcessHook(next redis.ProcessHook) redis.ProcessHook { return next }
func (l *loading) ProcessPipelineHook(next redis.ProcessPipelineHook) redis.ProcessPipelineHook {
	return func(ctx context.Context, cmds []redis.Cmder) error {
		err := next(ctx, cmds)
		for _, cmd := range cmds {
			if redis.HasErrorPrefix(cmd.Err(), "LOADING") {
				l.n.Add(1)
			}
		}
		return err
	}
}

// While Redis loads its data, it refuses scripts. Calls wait for it.
func TestRunWhileRedisLoads(t *testing.T) {
	t.Parallel()
	// key-load-delay slows the load. Redis replies to its clients after every 1,024 commands.
	server := testenv.OwnRedis(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always", Extra: []string{"key-load-delay 60"}})
	c := clientTo(t, server.Addr(), server.Password())
	r, s := NewRunner(c), counts()
	fill := script("for i = 1, 5000 do redis.call('SET', KEYS[1] .. i, 'x') end")
	if _, err := r.Run(within(t, patience), fill, []string{"k"}); err != nil {
		t.Fatal(err)
	}
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	started := make(chan error, 1)
	go func() { started <- server.Restart(t.Context()) }()
	testenv.Eventually(t, patience, func() (bool, string) {
		err := c.Ping(t.Context()).Err()
		return redis.HasErrorPrefix(err, "LOADING"), fmt.Sprint(err)
	})
	refusals := &loading{}
	c.AddHook(refusals)
	if _, err := r.Run(within(t, patience), s, []string{"n"}, 1); err != nil {
		t.Errorf("while it loads: %v", err)
	}
	if refusals.n.Load() == 0 {
		t.Error("it had loaded already")
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if n := counter(t, c, "n"); n != 1 {
		t.Errorf("ran %d times", n)
	}
}

// A call that could not be sent has certainly not run. A new connection that hangs or is refused
// leaves no outcome unknown.
func TestAConnectionThatCannotBeHadLeavesNothingUnknown(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	if err := server.Pause(); err != nil {
		t.Fatal(err)
	}
	r := NewRunner(clientTo(t, server.Addr(), server.Password()))
	_, err := r.Run(within(t, 3*time.Second), counts(), []string{"n"}, 1)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a Redis that hangs: %v", err)
	}
	if err := server.Resume(); err != nil {
		t.Fatal(err)
	}
	admin := testenv.ClientOf(t, server)
	if err := admin.ConfigSet(t.Context(), "maxclients", "1").Err(); err != nil {
		t.Fatal(err)
	}
	full := NewRunner(clientTo(t, server.Addr(), server.Password()))
	_, err = full.Run(within(t, 3*time.Second), counts(), []string{"n"}, 1)
	if !errors.Is(err, ErrUnavailable) || errors.Is(err, ErrOutcomeUnknown) {
		t.Errorf("a Redis that is full: %v", err)
	}
	if n, err := admin.Exists(t.Context(), "n").Result(); err != nil || n != 0 {
		t.Errorf("%d calls ran, %v", n, err)
	}
}
