package server

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// childSettings is an environment variable. If set, the test binary runs as a coordinator with
// these settings, which a test can kill.
const childSettings = "CLAUDEBENCH_SERVER_TEST_CHILD"

// briefly is how long circuit breakers stay open in tests, where outages are much shorter than half
// a minute.
const briefly = 500 * time.Millisecond

// quiet discards all logs.
var quiet = slog.New(slog.DiscardHandler)

func TestMain(m *testing.M) {
	if text := os.Getenv(childSettings); text != "" {
		if err := child(text); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	testenv.Main(m)
}

// child runs a coordinator until SIGTERM, and prints its address when it listens.
func child(text string) error {
	cfg := &config.Config{}
	if err := json.Unmarshal([]byte(text), cfg); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	s, err := Start(ctx, cfg, Options{Logger: quiet, BreakerOpen: briefly})
	if err != nil {
		return err
	}
	fmt.Println(s.Addr())
	<-ctx.Done()
	return s.Stop(context.WithoutCancel(ctx))
}

// settings returns the settings of a coordinator on the test binary's shared servers, in a new
// namespace and without rate limits. change modifies them.
func settings(t *testing.T, change func(*config.Config)) *config.Config {
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

// start starts a coordinator in this process and stops it when the test ends.
func start(t *testing.T, cfg *config.Config) *client {
	t.Helper()
	s, err := Start(t.Context(), cfg, Options{Logger: quiet, BreakerOpen: briefly})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return newClient(t, s.Addr())
}

// process is a coordinator in its own process.
type process struct {
	*client
	cmd *testenv.Child
}

// spawn starts a coordinator in its own process, which is ended with the test.
func spawn(t *testing.T, cfg *config.Config) *process {
	t.Helper()
	text, err := json.Marshal(cfg)
	if err != nil {
		t.Fatal(err)
	}
	cmd, out := testenv.Self(t, []string{childSettings + "=" + string(text)}), &screen{}
	cmd.Stdout, cmd.Stderr = out, os.Stderr
	p := &process{cmd: testenv.Launch(t, cmd)}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() }) // do not wait for an orderly end
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		select {
		case <-p.cmd.Done():
			t.Fatalf("the coordinator ended before it told its address: %s", out)
		default:
		}
		return strings.HasSuffix(out.String(), "\n"), "the coordinator does not tell its address"
	})
	p.client = newClient(t, strings.TrimSpace(out.String()))
	return p
}

// kill ends the process as a crash would.
func (p *process) kill(t *testing.T) {
	t.Helper()
	if err := p.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	p.cmd.Ended(t)
}
