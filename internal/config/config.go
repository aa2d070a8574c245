// Package config holds the program's settings. The value of a setting is that of its flag, else of
// its environment variable, else the default. cmd/claudebench binds the settings to its commands.
// An invalid value stops startup, and the error names the flag or the variable.
package config

import (
	"fmt"
	"log/slog"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/pflag"

	"github.com/claudebench/claudebench/internal/claudehook"
)

// Config is the configuration of a coordinator.
type Config struct {
	Listen string
	// AllowedHosts are additional host names for crossorigin.Guard.
	AllowedHosts []string

	RedisURL    string
	DatabaseURL string
	Namespace   string
	// NoEventIndex leaves out the index of events in Postgres.
	NoEventIndex bool

	InstanceTTL     time.Duration
	MonitorInterval time.Duration
	TaskRetention   time.Duration
	MaxLosses       int
	// Retain and RetainEvents bound the log in Redis, and RetainIgnore has the readers that do not
	// hold that back.
	Retain          time.Duration
	RetainEvents    int64
	RetainIgnore    []string
	Topics          Topics
	RateLimits      RateLimits
	TokenRateLimits RateLimits
	ByteLimit       int
	// HookContent is how much of the content of agents' hooks is stored.
	HookContent claudehook.Level

	// ReplaceSettings replaces the settings that all coordinators of a fleet must share with those
	// of this coordinator.
	ReplaceSettings bool
	AllowVolatile   bool
	Insecure        bool
	AuthFile        string
	// HookPolicy is the file of the policy for agents' tools.
	HookPolicy string
	TLSCert    string
	TLSKey     string
	DataDir    string
	// ArchiveDir is the folder of the archive of the log. "" means none.
	ArchiveDir string

	// SealDir is the folder into which the log is sealed, and SealKey the file of the key that signs.
	// Both are "" if this coordinator does not seal.
	SealDir string
	SealKey string

	// TraceURL is the template of links from an event to its trace.
	TraceURL string

	LogLevel  slog.Level
	LogFormat LogFormat
}

// BindStores adds the flags of Redis and Postgres.
func (c *Config) BindStores(flags *pflag.FlagSet) {
	c.BindRedis(flags)
	flags.StringVar(&c.DatabaseURL, "database-url", "", "Postgres: postgres://user@host/database; without it, task.list and session.* are unavailable")
}

// BindRedis adds the flags that select a fleet's Redis and the fleet in it.
func (c *Config) BindRedis(flags *pflag.FlagSet) {
	flags.StringVar(&c.RedisURL, "redis-url", "",
		"Redis: redis://[user:password@]host:port[/db], rediss:// with TLS, several host:port separated by commas for a\n"+
			"cluster, redis+sentinel://host:port,…/db?master=NAME for Sentinel")
	flags.StringVar(&c.Namespace, "namespace", "", "separates this fleet's data from others in the same Redis and Postgres")
}

// BindDataDir adds the flag of the directory in which `up` keeps its data.
func (c *Config) BindDataDir(flags *pflag.FlagSet) {
	flags.StringVar(&c.DataDir, "data-dir", DefaultDataDir(), "the folder in which 'up' keeps its data")
}

// BindArchive adds the flag of the archive's folder.
func (c *Config) BindArchive(flags *pflag.FlagSet, usage string) {
	flags.StringVar(&c.ArchiveDir, "archive-dir", "", usage)
}

// DefaultByteLimit is 256 MiB a minute. What Redis keeps in a quarter of an hour then stays below 4
// GiB.
const DefaultByteLimit = 256 << 20

// BindCoordinator adds the flags of a running coordinator.
func (c *Config) BindCoordinator(flags *pflag.FlagSet) {
	flags.StringVar(&c.Listen, "listen", "127.0.0.1:3000", "the address to listen on, as host:port")
	flags.StringSliceVar(&c.AllowedHosts, "allowed-hosts", nil,
		"host names of a proxy in front of the coordinator, as name or name:port, separated by commas")
	flags.DurationVar(&c.InstanceTTL, "instance-ttl", 30*time.Second, "how long a registration lasts without a heartbeat")
	flags.DurationVar(&c.MonitorInterval, "monitor-interval", time.Second, "how often to check for dead instances")
	flags.DurationVar(&c.TaskRetention, "task-retention", 168*time.Hour, "how long finished tasks stay in Redis")
	flags.IntVar(&c.MaxLosses, "max-losses", 10, "after how many losses with its worker a task fails")
	c.BindRetention(flags)
	flags.StringSliceVar(&c.RetainIgnore, "retain-ignore", nil,
		"readers that do not hold back --retain and --retain-events, separated by commas; for the names, see\n"+
			"'claudebench trim --help'")
	flags.Var(&c.Topics, "topics", "the event types that have a topic, as type,…, or none; leader.elected always has one (default: all types)")
	flags.Var(&c.TokenRateLimits, "token-rate-limits", "calls a minute of all instances of a token together, as method=limit,…; 0 disables a limit,\n"+
		"off disables all (default: five times the limit of each instance)")
	flags.Var(&c.RateLimits, "rate-limits", "calls a minute of each actor, as method=limit,…; 0 disables a limit, off disables all\n"+
		"(default: the limits in docs/api.md)")
	flags.IntVar(&c.ByteLimit, "byte-limit", DefaultByteLimit,
		"bytes of params a minute that a token, or an address without a token, may send to methods that change\n"+
			"something, and bytes of results a minute that it may receive from task.claim and task.update; params and\n"+
			"results of up to 4 KiB do not count; 0 disables the limit")
	c.HookContent = claudehook.Names
	flags.Var(&c.HookContent, "hook-content", "how much the log stores of the inputs and results in agents' hooks: none, names (the names and lengths of\n"+
		"fields: no prompts, commands or files) or full (up to 16 KiB for each hook)")
	flags.BoolVar(&c.NoEventIndex, "no-event-index", false,
		"keep no index of events in Postgres; task.history, instance.history and event.list are then unavailable on this\n"+
			"coordinator")
	c.BindArchive(flags, "the folder into which the log is archived; one coordinator at a time does it (default: no archive; of 'up', the\n"+
		"folder archive in its data folder)")
	flags.BoolVar(&c.ReplaceSettings, "replace-settings", false,
		"start even if other coordinators of this namespace use other values (--instance-ttl, --monitor-interval,\n"+
			"--task-retention, --max-losses, --topics); restart them afterwards with the new values")
	flags.BoolVar(&c.AllowVolatile, "allow-volatile", false, "accept a Redis that may evict keys, which loses data")
	flags.BoolVar(&c.Insecure, "insecure", false,
		"allow connections from other machines without an auth file; everybody who can connect can run every command")
	flags.StringVar(&c.AuthFile, "auth-file", "", "YAML file of the accepted tokens; without it, callers need no token; read again on SIGHUP")
	flags.StringVar(&c.HookPolicy, "hook-policy", "",
		"YAML file of the policy that answers Claude Code's hooks: which uses of tools to allow, deny or ask about;\n"+
			"read again on SIGHUP")
	flags.StringVar(&c.TraceURL, "trace-url", "",
		"the address of a trace in Jaeger, Tempo or another viewer, for links from events to their traces; {trace} stands\n"+
			"for the trace's id, as in https://jaeger.example/trace/{trace}")
	flags.StringVar(&c.TLSCert, "tls-cert", "", "PEM file of the certificate chain for HTTPS; read again on SIGHUP")
	flags.StringVar(&c.TLSKey, "tls-key", "", "PEM file of the certificate's key")
	c.BindSeals(flags)
}

// BindSeals adds the flags of sealing.
func (c *Config) BindSeals(flags *pflag.FlagSet) {
	flags.StringVar(&c.SealDir, "seal-dir", "", "the folder into which to seal the log, so that auditors can check that it was not rewritten; needs --seal-key")
	flags.StringVar(&c.SealKey, "seal-key", "", "the file of the signer key of the seals ('claudebench keys new' makes one)")
}

// CheckSeals returns an error if only one of the settings of sealing is there.
func (c *Config) CheckSeals() error {
	if (c.SealDir == "") != (c.SealKey == "") {
		return fmt.Errorf("--seal-dir and --seal-key belong together; pass both or neither")
	}
	return nil
}

// BindRetention adds the flags that say how much of the log stays in Redis.
func (c *Config) BindRetention(flags *pflag.FlagSet) {
	flags.DurationVar(&c.Retain, "retain", 0,
		"remove events from Redis that are older, once they are archived and read; 0 keeps all")
	flags.Int64Var(&c.RetainEvents, "retain-events", 0,
		"remove events from Redis beyond this number, once they are archived and read; 0 keeps all")
}

// BindLog adds the flags of the program's own log.
func (c *Config) BindLog(flags *pflag.FlagSet) {
	flags.TextVar(&c.LogLevel, "log-level", slog.LevelInfo, "debug, info, warn or error")
	flags.Var(&c.LogFormat, "log-format", "text or json (default: text on a terminal, else json)")
}

// Check returns an error for settings that cannot work, and for those that would expose the
// coordinator unintentionally.
func (c *Config) Check() error {
	for name, d := range map[string]time.Duration{
		"instance-ttl": c.InstanceTTL, "monitor-interval": c.MonitorInterval, "task-retention": c.TaskRetention,
	} {
		if d < time.Millisecond {
			return fmt.Errorf("--%s must be at least 1ms, but is %s", name, d)
		}
	}
	if c.MaxLosses < 1 {
		return fmt.Errorf("--max-losses must be at least 1, but is %d", c.MaxLosses)
	}
	if c.ByteLimit < 0 {
		return fmt.Errorf("--byte-limit must not be negative, but is %d", c.ByteLimit)
	}
	if err := c.checkTraceURL(); err != nil {
		return err
	}
	host, _, err := net.SplitHostPort(c.Listen)
	if err != nil {
		return fmt.Errorf("--listen must be host:port, but is %q", c.Listen)
	}
	if (c.TLSCert == "") != (c.TLSKey == "") {
		return fmt.Errorf("--tls-cert and --tls-key belong together; pass both or neither")
	}
	if err := c.CheckSeals(); err != nil {
		return err
	}
	if !c.Insecure && c.AuthFile == "" && !loopback(host) {
		return fmt.Errorf("--listen %s accepts connections from other machines, and everybody who can connect could run every command; "+
			"restrict access with --auth-file ('claudebench token new' makes an entry), listen on 127.0.0.1, "+
			"or pass --insecure to allow this", c.Listen)
	}
	return nil
}

// tracePlace is what the trace's ID replaces in --trace-url.
const tracePlace = "{trace}"

// checkTraceURL returns an error for a template that makes no link to a trace. Pages show its links,
// so a scheme that runs a script is refused.
func (c *Config) checkTraceURL() error {
	if c.TraceURL == "" {
		return nil
	}
	const example = "; write it as in https://jaeger.example/trace/{trace}"
	if strings.Count(c.TraceURL, tracePlace) != 1 {
		return fmt.Errorf("--trace-url must contain {trace} once, but is %q%s", c.TraceURL, example)
	}
	u, err := url.Parse(strings.Replace(c.TraceURL, tracePlace, strings.Repeat("0", 32), 1))
	switch {
	case err != nil:
		return fmt.Errorf("--trace-url is not a URL: %w%s", err, example)
	case u.Scheme != "http" && u.Scheme != "https":
		return fmt.Errorf("--trace-url must begin with http:// or https://, but is %q%s", c.TraceURL, example)
	case u.Host == "" || strings.Contains(u.Host, "00000000000000000000000000000000"):
		return fmt.Errorf("--trace-url must name a host, and contain {trace} after it, but is %q%s", c.TraceURL, example)
	case u.User != nil:
		return fmt.Errorf("--trace-url must not contain a user or a password, because every caller may read it")
	case strings.ContainsFunc(c.TraceURL, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune("\"<>\\^`|", r) }):
		return fmt.Errorf("--trace-url contains a character that is not allowed in a URL: %q%s", c.TraceURL, example)
	}
	return nil
}

// InTheClear reports whether tokens arrive over the network and this server does not encrypt them.
func (c *Config) InTheClear() bool {
	host, _, err := net.SplitHostPort(c.Listen)
	return c.AuthFile != "" && c.TLSCert == "" && err == nil && !loopback(host)
}

// Reloads reports whether there are files to reload on SIGHUP.
func (c *Config) Reloads() bool { return c.AuthFile != "" || c.TLSCert != "" || c.HookPolicy != "" }

func loopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// DefaultDataDir returns the user's directory for state.
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

// RateLimits are the rate limits that differ from the documented ones.
type RateLimits struct {
	// Off disables all limits except those in Methods.
	Off     bool
	Methods map[string]int
}

// Set parses "off" or "method=limit,…". It implements pflag.Value.
func (r *RateLimits) Set(text string) error {
	if r.Methods != nil {
		return fmt.Errorf("the flag is repeated; write all limits as one list")
	}
	*r = RateLimits{Methods: map[string]int{}}
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "off" && r.Off {
			return fmt.Errorf("off is repeated")
		}
		if part == "off" {
			r.Off = true
			continue
		}
		method, limit, ok := strings.Cut(part, "=")
		n, err := strconv.Atoi(limit)
		if !ok || method == "" || err != nil || n < 0 {
			return fmt.Errorf("%q is not off or method=limit, with the limit in calls a minute", part)
		}
		if _, twice := r.Methods[method]; twice {
			return fmt.Errorf("%s is repeated", method)
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

// Type is the name of the value in --help.
func (r *RateLimits) Type() string { return "limits" }

// LogFormat is text or json. "" leaves the choice to the program.
type LogFormat string

// Set parses text or json. It implements pflag.Value.
func (f *LogFormat) Set(text string) error {
	if text != "text" && text != "json" {
		return fmt.Errorf("must be text or json")
	}
	*f = LogFormat(text)
	return nil
}

func (f *LogFormat) String() string { return string(*f) }

// Type is the name of the value in --help.
func (f *LogFormat) Type() string { return "string" }
