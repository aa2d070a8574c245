// Package config holds the program's settings: each is a flag, else an environment variable, else a
// default. cmd/claudebench binds them to its commands; a value that cannot be read stops the start and
// names the flag or the variable it came from.
package config

import (
	"fmt"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"
)

// Config is what the coordinator is started with.
type Config struct {
	Listen      string
	RedisURL    string
	DatabaseURL string
	Namespace   string

	InstanceTTL     time.Duration
	MonitorInterval time.Duration
	TaskRetention   time.Duration
	RateLimits      RateLimits

	AllowVolatile bool
	Insecure      bool
	AuthFile      string
	TLSCert       string
	TLSKey        string
	DataDir       string

	LogLevel  slog.Level
	LogFormat string
}

// variables are the environment variables by the names of their flags.
var variables = map[string]string{
	"listen":           "CB_LISTEN",
	"redis-url":        "CB_REDIS_URL",
	"database-url":     "CB_DATABASE_URL",
	"namespace":        "CB_NAMESPACE",
	"instance-ttl":     "CB_INSTANCE_TTL",
	"monitor-interval": "CB_MONITOR_INTERVAL",
	"task-retention":   "CB_TASK_RETENTION",
	"rate-limits":      "CB_RATE_LIMITS",
	"allow-volatile":   "CB_ALLOW_VOLATILE",
	"insecure":         "CB_INSECURE",
	"auth-file":        "CB_AUTH_FILE",
	"tls-cert":         "CB_TLS_CERT",
	"tls-key":          "CB_TLS_KEY",
	"data-dir":         "CB_DATA_DIR",
	"log-level":        "CB_LOG_LEVEL",
	"log-format":       "CB_LOG_FORMAT",
	"url":              "CB_URL",
}

// BindStores adds the flags that say where the data is.
func (c *Config) BindStores(flags *pflag.FlagSet) {
	flags.StringVar(&c.RedisURL, "redis-url", "",
		"Redis: redis://[user:password@]host:port[/db], rediss:// with TLS, several host:port with ',' between for a\n"+
			"cluster, redis+sentinel://host:port,…/db?master=NAME for Sentinel")
	flags.StringVar(&c.DatabaseURL, "database-url", "", "Postgres: postgres://user@host/database; without it there are no task views")
	flags.StringVar(&c.Namespace, "namespace", "", "keeps this fleet's data apart from others in the same Redis and Postgres")
}

// BindDataDir adds the flag of the folder that `up` keeps its data in.
func (c *Config) BindDataDir(flags *pflag.FlagSet) {
	flags.StringVar(&c.DataDir, "data-dir", DefaultDataDir(), "folder of the data that 'up' keeps")
}

// BindCoordinator adds the flags of a running coordinator.
func (c *Config) BindCoordinator(flags *pflag.FlagSet) {
	flags.StringVar(&c.Listen, "listen", "127.0.0.1:3000", "address to listen on")
	flags.DurationVar(&c.InstanceTTL, "instance-ttl", 30*time.Second, "how long a registration lasts without a heartbeat")
	flags.DurationVar(&c.MonitorInterval, "monitor-interval", time.Second, "how often to look for instances that died")
	flags.DurationVar(&c.TaskRetention, "task-retention", 168*time.Hour, "how long finished tasks stay in Redis")
	flags.Var(&c.RateLimits, "rate-limits", "calls a minute for each actor, as method=limit,…; 0 for none, 'off' for none at all")
	flags.BoolVar(&c.AllowVolatile, "allow-volatile", false, "accept a Redis that may evict keys, and so lose data")
	flags.BoolVar(&c.Insecure, "insecure", false,
		"listen beyond this machine without an auth file, although anybody who can connect may issue any command")
	flags.StringVar(&c.AuthFile, "auth-file", "", "YAML file of the tokens that callers must have one of; read again on SIGHUP")
	flags.StringVar(&c.TLSCert, "tls-cert", "", "PEM file of the certificate, and those it depends on, to serve HTTPS with; read again on SIGHUP")
	flags.StringVar(&c.TLSKey, "tls-key", "", "PEM file of the certificate's key")
}

// BindLog adds the flags of the log that the program itself writes.
func (c *Config) BindLog(flags *pflag.FlagSet) {
	flags.TextVar(&c.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.StringVar(&c.LogFormat, "log-format", "", "text or json; text on a terminal when not given, else json")
}

// FromEnvironment fills the flags that were not given from their variables.
func FromEnvironment(flags *pflag.FlagSet) error {
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		variable := variables[f.Name]
		if f.Changed || variable == "" || failed != nil {
			return
		}
		if value, ok := os.LookupEnv(variable); ok && value != "" {
			if err := flags.Set(f.Name, value); err != nil {
				failed = fmt.Errorf("environment variable %s: %w", variable, err)
			}
		}
	})
	return failed
}

// Variable returns the environment variable of a flag, or "" if it has none.
func Variable(flag string) string { return variables[flag] }

// Describe adds to each flag's usage the variable that says the same.
func Describe(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if variable := variables[f.Name]; variable != "" && !strings.Contains(f.Usage, variable) {
			f.Usage += " [" + variable + "]"
		}
	})
}

// Check refuses settings that cannot work, or that expose the coordinator unasked.
func (c *Config) Check() error {
	for name, d := range map[string]time.Duration{
		"instance-ttl": c.InstanceTTL, "monitor-interval": c.MonitorInterval, "task-retention": c.TaskRetention,
	} {
		if d < time.Millisecond {
			return fmt.Errorf("--%s must be at least 1ms, and is %s", name, d)
		}
	}
	if c.LogFormat != "" && c.LogFormat != "text" && c.LogFormat != "json" {
		return fmt.Errorf("--log-format must be text or json, and is %q", c.LogFormat)
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen must be host:port, and is %q", c.Listen)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("--tls-cert and --tls-key go together: give both or neither")
	}
	if !c.Insecure && c.AuthFile == "" && !loopback(host) {
		return fmt.Errorf("--listen %s can be reached from other machines, and anybody who can connect may issue any command: "+
			"say who may with --auth-file ('claudebench token new' makes an entry), listen on 127.0.0.1, "+
			"or add --insecure if that is meant", c.Listen)
	}
	return nil
}

// InTheClear tells that tokens come over the network and nothing encrypts them on this side.
func (c *Config) InTheClear() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return c.AuthFile != "" && c.TLSCert == "" && err == nil && !loopback(host)
}

// Reloads tells that there is something to read again on SIGHUP.
func (c *Config) Reloads() bool { return c.AuthFile != "" || c.TLSCert != "" }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// DefaultDataDir is the user's folder for state.
func DefaultDataDir() string {
	if dir := os.Getenv("XDG_STATE_HOME"); dir != "" {
		return filepath.Join(dir, "claudebench")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return filepath.Join(os.TempDir(), "claudebench")
	}
	return filepath.Join(home, ".local", "state", "claudebench")
}

// RateLimits are the limits that differ from the documented ones.
type RateLimits struct {
	// Off switches all limits off, but for those named beside it.
	Off     bool
	Methods map[string]int
}

// Set reads "off", or "method=limit,…"; it is what pflag calls.
func (r *RateLimits) Set(text string) error {
	*r = RateLimits{Methods: map[string]int{}}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "off" {
			r.Off = true
			continue
		}
		method, limit, ok := strings.Cut(part, "=")
		n, err := strconv.Atoi(limit)
		if !ok || method == "" || err != nil || n < 0 {
			return fmt.Errorf("%q is neither off nor method=calls-a-minute", part)
		}
		if _, twice := r.Methods[method]; twice {
			return fmt.Errorf("%s is given twice", method)
		}
		r.Methods[method] = n
	}
	return nil
}

func (r *RateLimits) String() string {
	var parts []string
	if r.Off {
		parts = append(parts, "off")
	}
	for method, n := range r.Methods {
		parts = append(parts, fmt.Sprintf("%s=%d", method, n))
	}
	return strings.Join(parts, ",")
}

// Type is what --help calls the value.
func (r *RateLimits) Type() string { return "limits" }
