package client_test

import (
	"context"
	"log/slog"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// patience is how long a test waits for something that must happen.
const patience = 20 * time.Second

var quiet = slog.New(slog.DiscardHandler)

// settings returns the settings of a coordinator in a new namespace, without rate limits. change
// modifies them.
func settings(t testing.TB, change func(*config.Config)) *config.Config {
	t.Helper()
	cfg := &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t),
		InstanceTTL: 30 * time.Second, MonitorInterval: 100 * time.Millisecond, TaskRetention: time.Hour, MaxLosses: 10,
		RateLimits: config.RateLimits{Off: true},
	}
	if change != nil {
		change(cfg)
	}
	if cfg.RedisURL == "" {
		cfg.RedisURL = testenv.Redis(t).URL()
	}
	return cfg
}

// coordinator is a coordinator in this process.
type coordinator struct {
	*server.Server
	url  string
	stop func()
}

// start starts a coordinator, which stops at the latest when the test ends.
func start(t testing.TB, cfg *config.Config) *coordinator {
	t.Helper()
	s, err := server.Start(t.Context(), cfg, server.Options{Logger: quiet, BreakerOpen: 50 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	stopped := false
	c := &coordinator{Server: s, url: "http://" + s.Addr()}
	c.stop = func() {
		if !stopped {
			stopped = true
			if err := s.Stop(context.Background()); err != nil {
				t.Error(err)
			}
		}
	}
	t.Cleanup(c.stop)
	return c
}

// dial returns a client without retries, unless options say otherwise.
func dial(t testing.TB, url string, options ...client.Option) *client.Client {
	t.Helper()
	c, err := client.New(url, "", append([]client.Option{client.WithRetry(0)}, options...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// create creates a task.
func create(t testing.TB, c *client.Client, text string) *client.Task {
	t.Helper()
	task, err := c.CreateTask(t.Context(), client.CreateTaskParams{Text: text})
	if err != nil {
		t.Fatal(err)
	}
	return task
}

// startForExample starts a coordinator on an embedded Redis.
func startForExample() (url string, stop func()) {
	redis, err := devstack.StartEmbedded()
	if err != nil {
		panic(err)
	}
	s, err := server.Start(context.Background(), &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(nil), RedisURL: redis.URL(),
		InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10,
	}, server.Options{Logger: quiet, Embedded: true})
	if err != nil {
		panic(err)
	}
	return "http://" + s.Addr(), func() {
		if err := s.Stop(context.Background()); err != nil {
			panic(err)
		}
		redis.Stop()
	}
}
