package config

import (
	"io"
	"log/slog"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/pflag"
)

// bound returns a configuration with all flags, bound as the commands bind them.
func bound() (*Config, *pflag.FlagSet) {
	c, flags := &Config{}, pflag.NewFlagSet("test", pflag.ContinueOnError)
	flags.SetOutput(io.Discard)
	c.BindCoordinator(flags)
	c.BindStores(flags)
	c.BindDataDir(flags)
	c.BindLog(flags)
	return c, flags
}

// none clears the program's variables, which may be set where the tests run.
func none(t *testing.T) {
	t.Helper()
	for _, variable := range variables {
		t.Setenv(variable, "")
	}
}

func TestDefaultsAreTheDocumentedOnes(t *testing.T) {
	none(t)
	t.Setenv("XDG_STATE_HOME", "/state")
	c, flags := bound()
	if err := FromEnvironment(flags); err != nil {
		t.Fatal(err)
	}
	want := &Config{
		Listen: "127.0.0.1:3000", InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: 7 * 24 * time.Hour, MaxLosses: 10,
		ByteLimit: 256 << 20, HookContent: "names", DataDir: "/state/claudebench",
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("defaults (-want +got):\n%s", diff)
	}
	if err := c.Check(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
}

// Each flag has an environment variable, and the flag has precedence.
func TestEveryFlagHasItsVariable(t *testing.T) {
	values := map[string][2]string{ // the variable's, the flag's
		"listen": {"127.0.0.1:1", "127.0.0.1:2"}, "redis-url": {"redis://a", "redis://b"}, "database-url": {"postgres://a", "postgres://b"},
		"namespace": {"a", "b"}, "instance-ttl": {"1s", "2s"}, "monitor-interval": {"1ms", "2ms"}, "task-retention": {"1h0m0s", "2h0m0s"}, "max-losses": {"1", "2"},
		"retain": {"1h0m0s", "2h0m0s"}, "retain-events": {"1000", "2000"}, "retain-ignore": {"[a,b:c]", "[d]"},
		"topics":      {"none", "task.created"},
		"rate-limits": {"task.get=1", "task.get=2"}, "replace-settings": {"true", "false"}, "no-event-index": {"true", "false"}, "allow-volatile": {"true", "false"}, "insecure": {"true", "false"},
		"byte-limit": {"1", "2"}, "hook-content": {"none", "full"}, "token-rate-limits": {"task.claim=1", "task.claim=2"},
		"data-dir": {"/a", "/b"}, "log-level": {"DEBUG", "ERROR"}, "log-format": {"json", "text"},
		"allowed-hosts": {"[a.example,b:1]", "[c]"},
		"auth-file":     {"/a", "/b"}, "tls-cert": {"/a", "/b"}, "tls-key": {"/a", "/b"}, "hook-policy": {"/a", "/b"},
		"trace-url":   {"https://a/{trace}", "https://b/{trace}"},
		"archive-dir": {"/a", "/b"}, "seal-dir": {"/a", "/b"}, "seal-key": {"/a", "/b"},
	}
	_, all := bound()
	all.VisitAll(func(f *pflag.Flag) {
		t.Run(f.Name, func(t *testing.T) {
			none(t)
			v, ok := values[f.Name]
			variable := variables[f.Name]
			if !ok || variable != "CB_"+strings.ToUpper(strings.ReplaceAll(f.Name, "-", "_")) {
				t.Fatalf("its variable is %q", variable)
			}
			t.Setenv(variable, strings.Trim(v[0], "[]"))
			_, flags := bound()
			if err := FromEnvironment(flags); err != nil {
				t.Fatal(err)
			}
			if got := flags.Lookup(f.Name).Value.String(); got != v[0] {
				t.Errorf("%s=%s makes it %s", variable, v[0], got)
			}
			_, flags = bound()
			if err := flags.Parse([]string{"--" + f.Name + "=" + strings.Trim(v[1], "[]")}); err != nil {
				t.Fatal(err)
			}
			if err := FromEnvironment(flags); err != nil {
				t.Fatal(err)
			}
			if got := flags.Lookup(f.Name).Value.String(); got != v[1] {
				t.Errorf("%s=%s wins over --%s=%s: %s", variable, v[0], f.Name, v[1], got)
			}
			Describe(flags)
			Describe(flags)
			if usage := flags.Lookup(f.Name).Usage; strings.Count(usage, "["+variable+"]") != 1 {
				t.Errorf("its usage is %q", usage)
			}
		})
	})
}

func TestABadValueNamesItsVariable(t *testing.T) {
	for variable, value := range map[string]string{
		"CB_INSTANCE_TTL": "soon", "CB_ALLOW_VOLATILE": "perhaps", "CB_RATE_LIMITS": "task.get", "CB_LOG_LEVEL": "loud", "CB_LOG_FORMAT": "xml",
	} {
		t.Run(variable, func(t *testing.T) {
			none(t)
			t.Setenv(variable, value)
			_, flags := bound()
			if err := FromEnvironment(flags); err == nil || !strings.Contains(err.Error(), variable) || !strings.Contains(err.Error(), value) {
				t.Errorf("%s=%s: %v", variable, value, err)
			}
		})
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		change func(*Config)
		want   string // in the error; "" for no error
	}{
		"loopback":              {func(c *Config) { c.Listen = "127.0.0.1:0" }, ""},
		"another loopback":      {func(c *Config) { c.Listen = "127.9.9.9:80" }, ""},
		"loopback of IPv6":      {func(c *Config) { c.Listen = "[::1]:3000" }, ""},
		"localhost":             {func(c *Config) { c.Listen = "localhost:3000" }, ""},
		"every address":         {func(c *Config) { c.Listen = "0.0.0.0:3000" }, "--insecure"},
		"every address of IPv6": {func(c *Config) { c.Listen = "[::]:3000" }, "--insecure"},
		"no host":               {func(c *Config) { c.Listen = ":3000" }, "--insecure"},
		"a name":                {func(c *Config) { c.Listen = "localhost.evil.example:3000" }, "--insecure"},
		"unasked, meant":        {func(c *Config) { c.Listen, c.Insecure = "0.0.0.0:3000", true }, ""},
		"no port":               {func(c *Config) { c.Listen = "127.0.0.1" }, "--listen"},
		"TTL 0":                 {func(c *Config) { c.InstanceTTL = 0 }, "--instance-ttl"},
		"interval below a ms":   {func(c *Config) { c.MonitorInterval = time.Microsecond }, "--monitor-interval"},
		"no losses":             {func(c *Config) { c.MaxLosses = 0 }, "--max-losses"},
		"retention negative":    {func(c *Config) { c.TaskRetention = -time.Hour }, "--task-retention"},
	} {
		cfg, _ := bound()
		c.change(cfg)
		err := cfg.Check()
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
}

func TestRateLimits(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]RateLimits{
		"off":                                {Off: true, Methods: map[string]int{}},
		"task.create=0,system.register=100":  {Methods: map[string]int{"task.create": 0, "system.register": 100}},
		"off, task.create=6":                 {Off: true, Methods: map[string]int{"task.create": 6}},
		" task.create=3 , system.register=1": {Methods: map[string]int{"task.create": 3, "system.register": 1}},
	} {
		var got, again RateLimits
		if err := got.Set(text); err != nil {
			t.Errorf("%q: %v", text, err)
			continue
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%q (-want +got):\n%s", text, diff)
		}
		if err := again.Set(got.String()); err != nil || !cmp.Equal(got, again) {
			t.Errorf("%q is written %q, which is read as %+v, %v", text, got.String(), again, err)
		}
	}
	twice := RateLimits{}
	if err := twice.Set("task.create=1"); err != nil {
		t.Fatal(err)
	}
	if err := twice.Set("task.get=1"); err == nil {
		t.Errorf("the first list is lost: %+v", twice)
	}
	for _, bad := range []string{"", "on", "off,off", "task.create", "task.create=", "task.create=-1", "task.create=1.5", "=1", "task.create=1,", "task.create=1,task.create=2"} {
		var limits RateLimits
		if err := limits.Set(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, limits)
		}
	}
}

func TestDefaultDataDir(t *testing.T) {
	t.Setenv("XDG_STATE_HOME", "")
	t.Setenv("HOME", "/home/u")
	if got := DefaultDataDir(); got != filepath.Join("/home/u", ".local", "state", "claudebench") {
		t.Error(got)
	}
	t.Setenv("HOME", "")
	if got := DefaultDataDir(); !filepath.IsAbs(got) {
		t.Errorf("without a home: %s", got)
	}
}

func TestLogLevels(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError} {
		c, flags := bound()
		if err := flags.Parse([]string{"--log-level", text}); err != nil || c.LogLevel != want {
			t.Errorf("%s: %v, %v", text, c.LogLevel, err)
		}
	}
}
