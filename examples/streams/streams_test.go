// Package streams_test runs the examples of this folder, and examples/follow, against a coordinator
// that needs a token.
package streams_test

import (
	"bufio"
	"context"
	"embed"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

//go:embed package.json package-lock.json
var pinned embed.FS

// patience is how long a program may take on a busy machine.
const patience = time.Minute

// fleet is a coordinator with tokens.
type fleet struct {
	t         *testing.T
	cfg       *config.Config
	server    *server.Server
	token     string
	client    *client.Client
	namespace string
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	entry, secret, err := auth.NewEntry(api.Token{Name: "ops", Roles: []string{"operator"}})
	if err != nil {
		t.Fatal(err)
	}
	tokens := filepath.Join(t.TempDir(), "tokens.yaml")
	if err := os.WriteFile(tokens, []byte(entry), 0o600); err != nil {
		t.Fatal(err)
	}
	f := &fleet{t: t, token: secret, namespace: testenv.Namespace(t), cfg: &config.Config{
		Listen: "127.0.0.1:0", RedisURL: testenv.Redis(t).URL(), AuthFile: tokens,
		InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10,
	}}
	f.cfg.Namespace = f.namespace
	f.start()
	t.Cleanup(f.stop)
	f.cfg.Listen = f.server.Addr() // after a restart too
	if f.client, err = client.New(f.url(), secret); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.client.Close)
	return f
}

func (f *fleet) start() {
	f.t.Helper()
	var err error
	if f.server, err = server.Start(f.t.Context(), f.cfg, server.Options{Logger: slog.New(slog.DiscardHandler)}); err != nil {
		f.t.Fatal(err)
	}
}

func (f *fleet) stop() {
	if err := f.server.Stop(context.Background()); err != nil {
		f.t.Error(err)
	}
}

func (f *fleet) url() string { return "http://" + f.server.Addr() }

func (f *fleet) create(text string) {
	f.t.Helper()
	if _, err := f.client.CreateTask(f.t.Context(), client.CreateTaskParams{Text: text}); err != nil {
		f.t.Fatal(err)
	}
}

// program is an example that runs.
type program struct {
	*testenv.Child
	t     *testing.T
	lines chan string
	log   *testenv.Screen
}

// run starts a program with the settings of the fleet in its environment.
func (f *fleet) run(dir, token, name string, args ...string) *program {
	f.t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + dir, "CB_URL=" + f.url(), "CB_TOKEN=" + token,
		"CB_REDIS_URL=" + f.cfg.RedisURL, "CB_NAMESPACE=" + f.namespace,
	}
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} // so that the children of the shell can be killed too
	out, w := io.Pipe()
	p := &program{t: f.t, lines: make(chan string, 100), log: &testenv.Screen{}}
	cmd.Stdout, cmd.Stderr = w, p.log
	p.Child = testenv.Launch(f.t, cmd)
	go func() {
		<-p.Done()
		_ = w.Close()
	}()
	go func() {
		defer close(p.lines)
		for lines := bufio.NewScanner(out); lines.Scan(); {
			p.lines <- lines.Text()
		}
	}()
	return p
}

// shows waits for the next line and compares it with what it must contain.
func (p *program) shows(want ...string) {
	p.t.Helper()
	select {
	case line, ok := <-p.lines:
		if !ok {
			p.t.Fatalf("it has ended:\n%s", p.log)
		}
		for _, w := range want {
			if !strings.Contains(line, w) {
				p.t.Fatalf("it shows %s, want %s in it\n%s", line, w, p.log)
			}
		}
	case <-time.After(patience):
		p.t.Fatalf("it does not show %s:\n%s", want, p.log)
	}
}

// ends kills the program, which must not have shown anything else.
func (p *program) ends() {
	p.t.Helper()
	if err := syscall.Kill(-p.Process.Pid, syscall.SIGKILL); err != nil {
		p.t.Error(err)
	}
	<-p.Done()
	for line := range p.lines {
		p.t.Errorf("it also shows %s", line)
	}
}

// examples returns the command line of each program, for a folder with a copy of this one, and the
// folder with the packages of npm.
func examples(t *testing.T) (commands map[string]func(f *fleet, dir string) []string, packages string) {
	t.Helper()
	follow := filepath.Join(t.TempDir(), "follow")
	if out, err := exec.Command("go", "build", "-o", follow, "../follow").CombinedOutput(); err != nil {
		t.Fatalf("build examples/follow: %v\n%s", err, out)
	}
	packages = testenv.NPM(t, "streams", pinned, "node_modules/ioredis/package.json")
	return map[string]func(f *fleet, dir string) []string{
		"follow":  func(_ *fleet, dir string) []string { return []string{follow, "--types", "task.*", "--dir", dir} },
		"python":  func(*fleet, string) []string { return []string{"python3", "follow.py", "task.*", "at"} },
		"shell":   func(*fleet, string) []string { return []string{"sh", "follow.sh", "task.*", "at"} },
		"node":    func(*fleet, string) []string { return []string{"node", "follow.mjs", "task.*", "at"} },
		"ioredis": func(f *fleet, _ string) []string { return []string{"node", "follow-redis.mjs", "task.", f.namespace} },
	}, packages
}

// Each example follows the log, resumes after a coordinator's restart, and continues where it was
// killed.
func TestExamples(t *testing.T) {
	t.Parallel()
	programs, packages := examples(t)
	for name, commandLine := range programs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f, dir := newFleet(t), t.TempDir()
			command := commandLine(f, dir)
			if _, err := exec.LookPath(command[0]); err != nil {
				t.Logf("not run: %v", err)
				return
			}
			if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink(filepath.Join(packages, "node_modules"), filepath.Join(dir, "node_modules")); err != nil {
				t.Fatal(err)
			}
			f.create("first")
			p := f.run(dir, f.token, command[0], command[1:]...)
			p.shows("task.created", `first`)
			f.create("second")
			p.shows("task.created", `second`)
			f.stop()
			f.start()
			f.create("third")
			p.shows("task.created", `third`)
			f.saved(dir)
			p.ends()

			f.create("fourth")
			p = f.run(dir, f.token, command[0], command[1:]...)
			p.shows("task.created", `fourth`)
			p.ends()
		})
	}
}

// saved waits until a program has saved its position, in a file or in Redis. It would show the last
// event again otherwise, because it is killed.
func (f *fleet) saved(dir string) {
	f.t.Helper()
	redis := testenv.Client(f.t)
	testenv.Eventually(f.t, patience, func() (bool, string) {
		position := redis.Get(f.t.Context(), f.namespace+":position").Val() // "" if there is none
		for _, pattern := range []string{"[0-9a-f]*.json", "at"} {
			files, _ := filepath.Glob(filepath.Join(dir, pattern))
			for _, file := range files {
				text, _ := os.ReadFile(file)
				position += string(text)
			}
		}
		return strings.Contains(position, "-3"), "no position is saved"
	})
}

// A wrong token ends an example with what the coordinator says about it.
func TestExamplesWithAWrongToken(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	programs, _ := examples(t)
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"python", "node"} {
		command := programs[name](f, dir)
		if _, err := exec.LookPath(command[0]); err != nil {
			t.Logf("not run: %v", err)
			continue
		}
		p := f.run(dir, "wrong", command[0], command[1:]...)
		if code := p.Ended(t); code != 1 || !strings.Contains(p.log.String(), "401") {
			t.Errorf("%s: exit code %d\n%s", name, code, p.log)
		}
	}
}
