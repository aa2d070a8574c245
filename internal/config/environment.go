package config

import (
	"fmt"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/pflag"

	"github.com/claudebench/claudebench/internal/spelling"
)

// variables maps the names of flags to their environment variables.
var variables = map[string]string{
	"listen":            "CB_LISTEN",
	"allowed-hosts":     "CB_ALLOWED_HOSTS",
	"redis-url":         "CB_REDIS_URL",
	"database-url":      "CB_DATABASE_URL",
	"namespace":         "CB_NAMESPACE",
	"instance-ttl":      "CB_INSTANCE_TTL",
	"monitor-interval":  "CB_MONITOR_INTERVAL",
	"task-retention":    "CB_TASK_RETENTION",
	"max-losses":        "CB_MAX_LOSSES",
	"retain":            "CB_RETAIN",
	"retain-events":     "CB_RETAIN_EVENTS",
	"retain-ignore":     "CB_RETAIN_IGNORE",
	"topics":            "CB_TOPICS",
	"rate-limits":       "CB_RATE_LIMITS",
	"token-rate-limits": "CB_TOKEN_RATE_LIMITS",
	"no-event-index":    "CB_NO_EVENT_INDEX",
	"replace-settings":  "CB_REPLACE_SETTINGS",
	"byte-limit":        "CB_BYTE_LIMIT",
	"hook-content":      "CB_HOOK_CONTENT",
	"allow-volatile":    "CB_ALLOW_VOLATILE",
	"insecure":          "CB_INSECURE",
	"auth-file":         "CB_AUTH_FILE",
	"hook-policy":       "CB_HOOK_POLICY",
	"trace-url":         "CB_TRACE_URL",
	"tls-cert":          "CB_TLS_CERT",
	"tls-key":           "CB_TLS_KEY",
	"data-dir":          "CB_DATA_DIR",
	"seal-dir":          "CB_SEAL_DIR",
	"seal-key":          "CB_SEAL_KEY",
	"archive-dir":       "CB_ARCHIVE_DIR",
	"log-level":         "CB_LOG_LEVEL",
	"log-format":        "CB_LOG_FORMAT",
	"url":               "CB_URL",
	"ca":                "CB_CA",
}

// Token is the environment variable of the token that `call` and `ready` send. It has no flag,
// because other users can read a program's arguments.
const Token = "CB_TOKEN"

// taskVariables are the variables of a command that `work` runs for a task. The program accepts them,
// because such a command may run the program.
var taskVariables = []string{"CB_TASK_ID", "CB_TASK_TEXT", "CB_ATTEMPT", "CB_INSTANCE"}

// prefix is the common prefix of the program's variables.
const prefix = "CB_"

// linked matches the variables that Kubernetes sets in each container for a service whose name
// begins with "cb".
var linked = regexp.MustCompile(`^CB_(.*_)?(SERVICE_HOST|SERVICE_PORT(_.+)?|PORT(_\d+_(TCP|UDP|SCTP)(_(PROTO|PORT|ADDR))?)?)$`)

// FromEnvironment sets the flags that were not given to the values of their variables. An empty
// variable counts as unset. A variable with the program's prefix that the program does not read is
// an error, which names the nearest known variable. A command without settings, for example
// version, does not check variables.
func FromEnvironment(flags *pflag.FlagSet) error {
	settings := 0
	flags.VisitAll(func(f *pflag.Flag) {
		if variables[f.Name] != "" {
			settings++
		}
	})
	if settings == 0 {
		return nil
	}
	if err := checkNames(os.Environ()); err != nil {
		return err
	}
	var failed error
	flags.VisitAll(func(f *pflag.Flag) {
		variable := variables[f.Name]
		if f.Changed || variable == "" || failed != nil {
			return
		}
		if value := os.Getenv(variable); value != "" {
			// Not flags.Set: a flag must count as changed only if it was given as a flag.
			if err := f.Value.Set(value); err != nil {
				failed = fmt.Errorf("environment variable %s: invalid value %q: %w", variable, value, err)
			}
		}
	})
	return failed
}

// checkNames returns an error for a variable of this program that nothing reads.
func checkNames(environment []string) error {
	known := append(slices.Sorted(maps.Values(variables)), Token)
	known = append(known, taskVariables...)
	kubernetes := slices.ContainsFunc(environment, func(v string) bool { return strings.HasPrefix(v, "KUBERNETES_SERVICE_HOST=") })
	for _, v := range environment {
		name, _, _ := strings.Cut(v, "=")
		if !strings.HasPrefix(name, prefix) || slices.Contains(known, name) || kubernetes && linked.MatchString(name) {
			continue
		}
		nearest, _ := spelling.Nearest(name, known)
		return fmt.Errorf("environment variable %s is not a setting of this program; did you mean %s? Rename it or unset it", name, nearest)
	}
	return nil
}

// Variable returns the environment variable of a flag, or "" if it has none.
func Variable(flag string) string { return variables[flag] }

// Describe adds the name of its variable to the usage of each flag.
func Describe(flags *pflag.FlagSet) {
	flags.VisitAll(func(f *pflag.Flag) {
		if variable := variables[f.Name]; variable != "" && !strings.Contains(f.Usage, variable) {
			f.Usage += " [" + variable + "]"
		}
	})
}
