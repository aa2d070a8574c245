package devstack

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

// RedisOptions describe a private Redis.
type RedisOptions struct {
	// Dir holds everything of this server: data, log, password, configuration. It is created if it
	// is not there. Required.
	Dir string
	// Port on 127.0.0.1; 0 takes a free one, which Restart keeps.
	Port int
	// AppendOnly keeps the data in an append-only file. Without it, the server forgets everything
	// when it ends: snapshots are off.
	AppendOnly bool
	// AppendFsync is always, everysec or no; everysec if empty.
	AppendFsync string
	// Extra are further lines of redis.conf, such as "maxmemory 100mb". They come last and so win
	// over what is set here.
	Extra []string
	// Binary is the server's path; empty takes what FindRedis finds.
	Binary string
	// StartTimeout bounds a start, loading the data included; two minutes if 0.
	StartTimeout time.Duration
}

// Redis is a private redis-server or valkey-server, a child of this process.
type Redis struct {
	server
	opts     RedisOptions
	port     int
	password string
}

// FindRedis returns the path of a redis-server, else of a valkey-server, from PATH and the usual
// folders, and its flavour: "redis" or "valkey". The error wraps
// [ErrNotInstalled].
func FindRedis() (path, flavour string, err error) {
	for _, flavour := range []string{"redis", "valkey"} {
		if path, ok := findBinary(flavour + "-server"); ok {
			return path, flavour, nil
		}
	}
	return "", "", fmt.Errorf("redis-server and valkey-server: %w", ErrNotInstalled)
}

// StartRedis starts a private Redis and returns when it answers. Beside the errors of the package
// it may return ctx's.
func StartRedis(ctx context.Context, opts RedisOptions) (*Redis, error) {
	if opts.Dir == "" {
		return nil, errors.New("start Redis: no folder was given")
	}
	if opts.Binary == "" {
		var err error
		if opts.Binary, _, err = FindRedis(); err != nil {
			return nil, err
		}
	}
	if opts.AppendFsync == "" {
		opts.AppendFsync = "everysec"
	}
	if opts.StartTimeout == 0 {
		opts.StartTimeout = defaultStartTimeout
	}
	dir, err := realDir(opts.Dir)
	if err != nil {
		return nil, fmt.Errorf("start Redis: %w", err)
	}
	// An older version left it open to others.
	if err := os.Chmod(dir, 0o700); err != nil {
		return nil, fmt.Errorf("start Redis: keep its folder private: %w", err)
	}
	r := &Redis{server: server{name: "Redis", dir: dir, stop: syscall.SIGTERM}, opts: opts, port: opts.Port}
	r.life.Lock()
	defer r.life.Unlock()
	if err := r.start(ctx); err != nil {
		return nil, err
	}
	return r, nil
}

func (r *Redis) start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, r.opts.StartTimeout)
	defer cancel()
	lock, err := r.lock(ctx)
	if err != nil {
		return fmt.Errorf("start Redis: %w", err)
	}
	defer lock.Close()
	if r.password == "" {
		if r.password, err = password(r.dir); err != nil {
			return err
		}
	}
	chosen := r.port
	for try := 1; ; try++ {
		if chosen == 0 {
			if r.port, err = FreePort(); err != nil {
				return err
			}
		}
		if err := writeFile(filepath.Join(r.dir, "redis.conf"), r.config()); err != nil {
			return err
		}
		err := r.launch(ctx, command{
			path: r.opts.Binary, args: []string{"redis.conf"}, dir: r.dir, lock: lock, orphan: syscall.SIGTERM,
		}, r.ready)
		if err == nil {
			return nil
		}
		if chosen != 0 || try == portTries || !portTaken(err) {
			r.port = chosen
			return err
		}
	}
}

// config is the whole redis.conf. Paths are left relative to the working folder, so that no file
// name needs quoting.
func (r *Redis) config() string {
	appendOnly := "no"
	if r.opts.AppendOnly {
		appendOnly = "yes"
	}
	lines := []string{
		"bind 127.0.0.1",
		"port " + strconv.Itoa(r.port),
		"requirepass " + r.password,
		"daemonize no",
		"dir .",
		`logfile ""`,
		`save ""`,
		"appendonly " + appendOnly,
		"appendfsync " + r.opts.AppendFsync,
		"maxmemory-policy noeviction",
	}
	return strings.Join(append(lines, r.opts.Extra...), "\n") + "\n"
}

var processID = regexp.MustCompile(`(?m)^process_id:(\d+)`)

// ready asks for the process id as well: another server may have come to the port first, and ours
// be about to find out.
func (r *Redis) ready(ctx context.Context, c *child) (bool, error) {
	// A bare dial first: a go-redis client that cannot dial keeps trying behind our back.
	conn, err := (&net.Dialer{Timeout: time.Second}).DialContext(ctx, "tcp", r.Addr())
	if err != nil {
		return false, nil
	}
	_ = conn.Close()
	client := redis.NewClient(&redis.Options{
		Addr: r.Addr(), Password: r.password, MaxRetries: -1, DisableIdentity: true, ContextTimeoutEnabled: true,
		DialTimeout: time.Second, ReadTimeout: 2 * time.Second, WriteTimeout: 2 * time.Second, PoolSize: 1,
		MaintNotificationsConfig: &maintnotifications.Config{Mode: maintnotifications.ModeDisabled},
	})
	defer client.Close()
	if err := client.Ping(ctx).Err(); err != nil { // LOADING, too, comes here
		return false, nil
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return false, nil
	}
	m := processID.FindStringSubmatch(info)
	return m != nil && m[1] == strconv.Itoa(c.process.Pid), nil
}

// URL is the address with the password, for redis.ParseURL and redis-cli -u.
func (r *Redis) URL() string { return "redis://default:" + r.password + "@" + r.Addr() + "/0" }

// Addr is host:port.
func (r *Redis) Addr() string { return loopback(r.port) }

// Password is the generated one that Addr asks for.
func (r *Redis) Password() string { return r.password }

// Dir is the server's folder. With AppendOnly, Dir/appendonlydir holds the data.
func (r *Redis) Dir() string { return r.dir }

// Done is closed when the server that runs now has ended, whatever the reason. After a Restart
// there is a new channel.
func (r *Redis) Done() <-chan struct{} { return r.child().done }

// Err is nil while the server runs and after Stop and Kill; otherwise it says how the server ended,
// with the end of its log.
func (r *Redis) Err() error { return r.err() }

// Stop ends the server in an orderly way and waits. When ctx ends first, the server is killed and
// the error says so. A server that has ended already is no error.
func (r *Redis) Stop(ctx context.Context) error {
	r.life.Lock()
	defer r.life.Unlock()
	return r.shutdown(ctx)
}

// Kill ends the server by SIGKILL and waits.
func (r *Redis) Kill() error { return r.kill() }

// Pause stops the server's execution: connections stay open and nothing answers.
func (r *Redis) Pause() error { return r.child().signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (r *Redis) Resume() error { return r.child().signal(syscall.SIGCONT) }

// Restart stops the server if it runs, and starts it on the same port and data.
func (r *Redis) Restart(ctx context.Context) error {
	r.life.Lock()
	defer r.life.Unlock()
	if err := r.shutdown(ctx); err != nil {
		return err
	}
	return r.start(ctx)
}

// findBinary looks in PATH and then in the folders that a PATH given by an editor or a service
// often lacks.
func findBinary(name string) (string, bool) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin") {
		if !filepath.IsAbs(dir) {
			continue // never a program from wherever we happen to stand
		}
		path := filepath.Join(dir, name)
		if executable(path) {
			return path, true
		}
	}
	return "", false
}

func executable(path string) bool {
	info, err := os.Stat(path)
	return err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0
}
