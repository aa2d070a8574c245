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

// RedisOptions configure a private Redis.
type RedisOptions struct {
	// Dir is the folder of this server: data, log, password, configuration. It is created if it
	// does not exist. Required.
	Dir string
	// Port is the port on 127.0.0.1. 0 chooses a free one, which Restart keeps.
	Port int
	// AppendOnly keeps the data in an append-only file. Without it the data is lost when the server
	// ends, because snapshots are off.
	AppendOnly bool
	// AppendFsync is always, everysec or no. The default is everysec.
	AppendFsync string
	// Extra are additional lines of redis.conf, for example "maxmemory 100mb". They are last and so
	// have precedence over the settings of this package.
	Extra []string
	// Binary is the path of the server. The default is that of FindRedis.
	Binary string
	// StartTimeout limits a start, including loading the data. The default is two minutes.
	StartTimeout time.Duration
}

// Redis is a private redis-server or valkey-server, a child of this process.
type Redis struct {
	server
	opts     RedisOptions
	port     int
	password string
}

// FindRedis looks for redis-server and then for valkey-server, in PATH and in the usual folders. It
// returns the path and the flavour, "redis" or "valkey". The error wraps [ErrNotInstalled].
func FindRedis() (path, flavour string, err error) {
	for _, flavour := range []string{"redis", "valkey"} {
		if path, ok := findBinary(flavour + "-server"); ok {
			return path, flavour, nil
		}
	}
	return "", "", fmt.Errorf("redis-server and valkey-server: %w", ErrNotInstalled)
}

// StartRedis starts a private Redis and returns when it replies to commands. Besides the errors of
// the package, it may return that of ctx.
func StartRedis(ctx context.Context, opts RedisOptions) (*Redis, error) {
	if opts.Dir == "" {
		return nil, errors.New("start Redis: RedisOptions.Dir is required")
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
	// An older version left the folder open to other users.
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
		if err := WriteFile(filepath.Join(r.dir, "redis.conf"), r.config()); err != nil {
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

// config returns the whole redis.conf. Paths are relative to the working folder, so that no file
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
		// A task with a text of up to 1 KiB then takes half of the memory.
		"hash-max-listpack-value 1024",
	}
	return strings.Join(append(lines, r.opts.Extra...), "\n") + "\n"
}

var processID = regexp.MustCompile(`(?m)^process_id:(\d+)`)

// ready also checks the process ID: another server may have taken the port first, and ours may be
// about to notice.
func (r *Redis) ready(ctx context.Context, c *child) (bool, error) {
	// Dial directly first: a go-redis client that cannot dial keeps trying in the background.
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
	if err := client.Ping(ctx).Err(); err != nil { // also LOADING
		return false, nil
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return false, nil
	}
	m := processID.FindStringSubmatch(info)
	return m != nil && m[1] == strconv.Itoa(c.process.Pid), nil
}

// URL returns the URL with the password, for redis.ParseURL and redis-cli -u.
func (r *Redis) URL() string { return "redis://default:" + r.password + "@" + r.Addr() + "/0" }

// Addr returns the address as host:port.
func (r *Redis) Addr() string { return loopback(r.port) }

// Password returns the generated password.
func (r *Redis) Password() string { return r.password }

// Dir returns the server's folder. With AppendOnly, the data is in Dir/appendonlydir.
func (r *Redis) Dir() string { return r.dir }

// Done returns a channel that is closed when the current server has ended, whatever the reason. A
// Restart makes a new channel.
func (r *Redis) Done() <-chan struct{} { return r.child().done }

// Err returns nil while the server runs and after Stop and Kill. Otherwise it says how the server
// ended, with the end of its log.
func (r *Redis) Err() error { return r.err() }

// Stop shuts the server down and waits. If ctx ends first, Stop kills the server and the error says
// so. If the server has ended already, that is not an error.
func (r *Redis) Stop(ctx context.Context) error {
	r.life.Lock()
	defer r.life.Unlock()
	return r.shutdown(ctx)
}

// Kill ends the server with SIGKILL, and waits for it and the processes that it has started.
func (r *Redis) Kill() error { return r.kill() }

// Pause suspends the server. Its connections stay open, and it replies to nothing.
func (r *Redis) Pause() error { return r.child().signal(syscall.SIGSTOP) }

// Resume ends a Pause.
func (r *Redis) Resume() error { return r.child().signal(syscall.SIGCONT) }

// Restart stops the server if it runs, and starts it with the same port and data.
func (r *Redis) Restart(ctx context.Context) error {
	r.life.Lock()
	defer r.life.Unlock()
	if err := r.shutdown(ctx); err != nil {
		return err
	}
	return r.start(ctx)
}

// findBinary looks in PATH and then in folders that are often missing from the PATH of an editor or
// a service.
func findBinary(name string) (string, bool) {
	for _, dir := range append(filepath.SplitList(os.Getenv("PATH")), "/usr/bin", "/usr/local/bin", "/opt/homebrew/bin") {
		if !filepath.IsAbs(dir) {
			continue // never run a program from the current folder
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
