package main

import (
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// Each command's help names the variable of each of its settings.
func TestHelpTeaches(t *testing.T) {
	t.Parallel()
	variables := map[string]string{
		"--listen": "CB_LISTEN", "--allowed-hosts": "CB_ALLOWED_HOSTS", "--redis-url": "CB_REDIS_URL", "--database-url": "CB_DATABASE_URL", "--namespace": "CB_NAMESPACE",
		"--instance-ttl": "CB_INSTANCE_TTL", "--monitor-interval": "CB_MONITOR_INTERVAL", "--task-retention": "CB_TASK_RETENTION", "--max-losses": "CB_MAX_LOSSES",
		"--rate-limits": "CB_RATE_LIMITS", "--allow-volatile": "CB_ALLOW_VOLATILE", "--insecure": "CB_INSECURE",
		"--data-dir": "CB_DATA_DIR", "--log-level": "CB_LOG_LEVEL", "--log-format": "CB_LOG_FORMAT", "--url": "CB_URL",
	}
	has := map[string][]string{
		"serve": {
			"--listen", "--redis-url", "--database-url", "--namespace", "--instance-ttl", "--monitor-interval", "--task-retention", "--max-losses",
			"--rate-limits", "--allow-volatile", "--insecure", "--log-level", "--log-format",
		},
		"up":      {"--listen", "--data-dir", "--namespace", "--rate-limits", "--log-level"},
		"call":    {"--url"},
		"ready":   {"--url"},
		"tail":    {"--url", "--redis-url", "--namespace", "--data-dir", "--log-level"},
		"state":   {"--redis-url", "--namespace", "--data-dir", "--url", "--log-level", "--at"},
		"diff":    {"--redis-url", "--namespace", "--data-dir", "--url", "--log-level"},
		"history": {"--redis-url", "--database-url", "--namespace", "--data-dir", "--url", "--log-level"},
		"replay":  {"--url", "--redis-url", "--namespace", "--data-dir", "--log-level"},
		"verify":  {"--redis-url", "--database-url", "--namespace", "--data-dir", "--log-level"},
		"rebuild": {"--redis-url", "--database-url", "--namespace", "--data-dir", "--log-level"},

		"checkpoints": {"--redis-url", "--database-url", "--namespace", "--data-dir", "--log-level", "--format"},
		"doctor":      {"--redis-url", "--database-url", "--namespace", "--data-dir", "--log-level", "--format", "--skip", "--url", "--disk"},
	}
	root, err := inProcess(t.Context(), "--help")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range newRoot().Commands() {
		text, err := inProcess(t.Context(), c.Name(), "--help")
		if err != nil {
			t.Fatal(err)
		}
		if c.Name() != "help" && !strings.Contains(root, c.Name()+" ") {
			t.Errorf("the program's help does not name %s", c.Name())
		}
		_, flags, _ := strings.Cut(text, "\nFlags:\n") // examples contain flags too
		for _, flag := range has[c.Name()] {
			if !strings.Contains(flags, flag+" ") {
				t.Errorf("%s --help has no %s", c.Name(), flag)
			}
		}
		for flag, variable := range variables {
			_, rest, there := strings.Cut(flags, flag+" ")
			// Up to the next flag.
			usage, _, _ := strings.Cut(rest, "      --")
			if there && !strings.Contains(usage, variable) {
				t.Errorf("%s --help: %s does not name %s:\n%s", c.Name(), flag, variable, usage)
			}
		}
		if c.RunE != nil && c.Name() != "version" && (c.Long == "" || c.Example == "" && c.Name() != "ready") && !strings.Contains(text, "completion") {
			t.Errorf("%s --help explains nothing or shows no example", c.Name())
		}
	}
}

func TestVersionAndCompletion(t *testing.T) {
	t.Parallel()
	if r := execute(t, nil, "version"); r.code != 0 || !strings.HasPrefix(r.out, "claudebench ") || !strings.Contains(r.out, "go1.") {
		t.Errorf("version: %+v", r)
	}
	r := execute(t, nil, "completion", "bash")
	if r.code != 0 || !strings.Contains(r.out, "claudebench") || len(r.out) < 1000 {
		t.Errorf("completion bash: code %d, %d bytes, %s", r.code, len(r.out), r.log)
	}
	if got := execute(t, nil, "__complete", "rebuild", ""); !strings.Contains(got.out, "metrics") {
		t.Errorf("completing rebuild offers %q", got.out)
	}
}

// Every setting is used. docs/reference.md, which is generated, lists them.
func TestEverySettingIsRead(t *testing.T) {
	t.Parallel()
	var code strings.Builder
	for _, dir := range []string{".", "../../internal/config", "../../internal/fleet", "../../internal/server"} {
		files, err := filepath.Glob(filepath.Join(dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			code.Write(text)
		}
	}
	fields := reflect.TypeFor[config.Config]()
	for i := range fields.NumField() {
		field := fields.Field(i).Name
		// A '&' before the field is the binding of its flag.
		if !regexp.MustCompile(`[^&](cfg|c)\.` + field + `\b`).MatchString(code.String()) {
			t.Errorf("nothing reads the setting %s", field)
		}
	}
}

// A flag takes precedence over a variable, and a variable over the default.
func TestFlagOverVariableOverDefault(t *testing.T) {
	t.Parallel()
	redis := "CB_REDIS_URL=" + testenv.Redis(t).URL()
	env := []string{redis, "CB_LISTEN=127.0.0.1:0", "CB_NAMESPACE=" + testenv.Namespace(t), "CB_LOG_LEVEL=debug"}
	byVariable := launch(t, env, "serve")
	if addr := byVariable.address(t); addr == "127.0.0.1:3000" {
		t.Errorf("CB_LISTEN was not heeded: %s", addr)
	}
	byFlag := launch(t, env, "serve", "--listen", "[::1]:0")
	if addr := byFlag.address(t); !strings.HasPrefix(addr, "[::1]:") {
		t.Errorf("--listen was not heeded: %s", addr)
	}
	if r := execute(t, []string{"CB_URL=http://127.0.0.1:1"}, "call", "task.get", "--url", byVariable.address(t)); r.code != 1 || !strings.Contains(r.log, "-32602") {
		t.Errorf("--url was not heeded: %+v", r)
	}
	if r := execute(t, []string{"CB_LISTEN=" + byFlag.address(t)}, "call", "task.get"); r.code != 1 || !strings.Contains(r.log, "-32602") {
		t.Errorf("CB_LISTEN was not heeded by call: %+v", r)
	}
}

func TestBadSettingsSayWhatTheyAre(t *testing.T) {
	t.Parallel()
	url := testenv.Redis(t).URL()
	for _, bad := range []struct {
		env  []string
		args []string
		want []string
	}{
		{nil, []string{"serve"}, []string{"--redis-url", "CB_REDIS_URL", "claudebench up"}},
		{[]string{"CB_INSTANCE_TTL=soon"}, []string{"serve", "--redis-url", url}, []string{"CB_INSTANCE_TTL", "soon"}},
		{[]string{"CB_RATE_LIMITS=task.create=many"}, []string{"serve", "--redis-url", url}, []string{"CB_RATE_LIMITS", "task.create=many"}},
		{[]string{"CB_LOG_LEVEL=loud"}, []string{"tail"}, []string{"CB_LOG_LEVEL"}},
		{[]string{"CB_INSECURE=perhaps"}, []string{"up"}, []string{"CB_INSECURE"}},
		{nil, []string{"serve", "--redis-url", url, "--instance-ttl", "soon"}, []string{"--instance-ttl", "soon"}},
		{nil, []string{"serve", "--redis-url", url, "--instance-ttl", "0s"}, []string{"--instance-ttl"}},
		{nil, []string{"serve", "--redis-url", url, "--log-format", "xml"}, []string{"--log-format", "xml"}},
		{nil, []string{"tail", "--redis-url", url, "--log-format", "xml"}, []string{"--log-format", "xml"}},
		{nil, []string{"tail", "--redis-url", url, "--data-dir", "/nowhere"}, []string{"redis-url", "data-dir"}},
		{nil, []string{"serve", "--redis-url", url + "?ssl_cert_reqs=none"}, []string{"redis URL", "ssl_cert_reqs"}},
		{[]string{"CB_REDIS_URI=" + url}, []string{"serve"}, []string{"CB_REDIS_URI", "CB_REDIS_URL"}},
		{[]string{"CB_RATE_LIMIT=off"}, []string{"tail"}, []string{"CB_RATE_LIMIT ", "CB_RATE_LIMITS"}},
		{[]string{"OTEL_EXPORTER_OTLP_ENDPOIN=http://localhost:4318"}, []string{"serve", "--redis-url", url}, []string{"OTEL_EXPORTER_OTLP_ENDPOIN ", "OTEL_EXPORTER_OTLP_ENDPOINT"}},
		{nil, []string{"serve", "--redis-url", url, "--allowed-hosts", "https://cb.example"}, []string{"--allowed-hosts", "https://cb.example"}},
		{nil, []string{"serve", "--redis-url", url, "--listen", "0.0.0.0:0"}, []string{"--insecure", "0.0.0.0:0"}},
		{nil, []string{"serve", "--redis-url", url, "--listen", ":0"}, []string{"--insecure"}},
		{nil, []string{"serve", "--redis-url", url, "--listen", "somewhere"}, []string{"--listen", "somewhere"}},
		{nil, []string{"up", "--listen", "0.0.0.0:0"}, []string{"--insecure"}},
		{nil, []string{"tail", "--namespace", "x"}, []string{"--namespace", "--redis-url"}},
		{nil, []string{"tail", "--redis-url", url, "--types", "task*"}, []string{"task*"}},
		{nil, []string{"tail", "--redis-url", url, "--after", "yesterday"}, []string{"--after", "yesterday"}},
		{nil, []string{"rebuild", "tasks", "--redis-url", url}, []string{"--database-url", "CB_DATABASE_URL"}},
		{nil, []string{"rebuild", "everything", "--redis-url", url}, []string{"everything"}},
		{nil, []string{"dance"}, []string{"dance"}},
		{nil, []string{"call", "task.create", "{"}, []string{"PARAMS", "{"}},
	} {
		t.Run(strings.Join(append(bad.env, bad.want...), " "), func(t *testing.T) {
			t.Parallel()
			r := execute(t, bad.env, bad.args...)
			if r.code != exitFailed && r.code != exitUsage || !strings.HasPrefix(r.log, "claudebench: ") || strings.Count(strings.TrimSpace(r.log), "\n") > 1 || r.out != "" {
				t.Errorf("code %d, output %q, log %q", r.code, r.out, r.log)
			}
			for _, want := range bad.want {
				if !strings.Contains(r.log, want) {
					t.Errorf("%q does not name %s", r.log, want)
				}
			}
		})
	}
}
