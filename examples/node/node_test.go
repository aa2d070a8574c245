// Package node_test checks the TypeScript client: that its generated part is current, that it
// typechecks, and that it passes the conformance test that the Go client passes too.
package node_test

import (
	"bytes"
	"context"
	"embed"
	"flag"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/nodetest"
	"github.com/claudebench/claudebench/internal/openrpc"
	"github.com/claudebench/claudebench/internal/server"
	"github.com/claudebench/claudebench/internal/testenv"
)

var update = flag.Bool("update", false, "write src/api.ts")

func TestMain(m *testing.M) {
	flag.Parse()
	testenv.Main(m)
}

// runTime allows for a compiler on a busy machine.
const runTime = 2 * time.Minute

//go:embed package.json package-lock.json
var pinned embed.FS

//go:embed package.json tsconfig.json generate.mjs src
var sources embed.FS

// project is a copy of this folder with its packages.
type project struct{ folder, node string }

// install copies this folder and installs its packages.
func install(t *testing.T) project {
	t.Helper()
	programs := nodetest.InstallFrom(t, pinned, "example")
	p := project{t.TempDir(), programs.Node}
	if err := os.CopyFS(p.folder, sources); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Join(programs.Folder, "node_modules"), filepath.Join(p.folder, "node_modules")); err != nil {
		t.Fatal(err)
	}
	return p
}

// run runs a program of Node.js and returns its standard output. It fails the test if the program
// fails.
func (p project) run(t *testing.T, stdin []byte, args ...string) []byte {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), runTime)
	defer cancel()
	cmd := exec.CommandContext(ctx, p.node, args...)
	var out, problems bytes.Buffer
	cmd.Dir, cmd.Stdin, cmd.Stdout, cmd.Stderr = p.folder, bytes.NewReader(stdin), &out, &problems
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s%s", args[0], err, &out, &problems)
	}
	return out.Bytes()
}

// build typechecks the sources and compiles them.
func (p project) build(t *testing.T) {
	t.Helper()
	p.run(t, nil, filepath.Join("node_modules", "typescript", "bin", "tsc"))
}

// start starts a coordinator without limits, except that system.discover may be called once.
func start(t *testing.T) (url string) {
	t.Helper()
	s, err := server.Start(t.Context(), &config.Config{
		Listen: "127.0.0.1:0", Namespace: testenv.Namespace(t), RedisURL: testenv.Redis(t).URL(),
		InstanceTTL: 30 * time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10,
		RateLimits: config.RateLimits{Off: true, Methods: map[string]int{"system.discover": 1}},
	}, server.Options{Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return "http://" + s.Addr()
}

// `make generate` writes src/api.ts.
func TestTheGeneratedPartIsCurrent(t *testing.T) {
	t.Parallel()
	methods, err := commands.Methods()
	if err != nil {
		t.Fatal(err)
	}
	document, err := openrpc.Document(methods, "")
	if err != nil {
		t.Fatal(err)
	}
	p := install(t)
	generated := p.run(t, document, "generate.mjs")
	file := filepath.Join("src", "api.ts")
	if *update {
		if err := os.WriteFile(file, generated, 0o644); err != nil { //nolint:gosec // a source file
			t.Fatal(err)
		}
	}
	if current, err := os.ReadFile(file); err != nil || !bytes.Equal(current, generated) {
		t.Errorf("%s is not what generate.mjs writes (%v); run make generate", file, err)
	}
}

func TestConformance(t *testing.T) {
	t.Parallel()
	p := install(t)
	p.build(t)
	cases, err := filepath.Abs(filepath.Join("..", "..", "client", "testdata", "conformance.json"))
	if err != nil {
		t.Fatal(err)
	}
	if out := p.run(t, nil, filepath.Join("dist", "conformance.js"), start(t), cases); !strings.Contains(string(out), " cases") {
		t.Errorf("it ran no cases: %s", out)
	}
}

// The worker does a task, and unregisters when it is told to end.
func TestWorker(t *testing.T) {
	t.Parallel()
	p := install(t)
	p.build(t)
	url := start(t)
	c, err := client.New(url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := testenv.Launch(t, p.worker(url))
	task, err := c.CreateTask(t.Context(), client.CreateTaskParams{Text: "count these words"})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, runTime, func() (bool, string) {
		got, err := c.GetTask(t.Context(), task.ID)
		return err == nil && got.Status == "completed" && string(got.Result) == `{"words":3}`, "the task is not done"
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := cmd.Ended(t); code != 0 {
		t.Errorf("the worker ended with code %d", code)
	}
	if state, err := c.GetState(t.Context(), client.GetStateParams{}); err != nil || len(state.Instances) != 0 {
		t.Errorf("the worker is still registered: %+v, %v", state, err)
	}
}

// The worker says how far it is, and ends a task that is called off.
func TestWorkerIsToldThatATaskIsCalledOff(t *testing.T) {
	t.Parallel()
	p := install(t)
	p.build(t)
	url := start(t)
	c, err := client.New(url, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cmd := testenv.Launch(t, p.worker(url, "3600000"))
	task, err := c.CreateTask(t.Context(), client.CreateTaskParams{Text: "x"})
	if err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, runTime, func() (bool, string) {
		got, err := c.GetTask(t.Context(), task.ID)
		return err == nil && got.Progress != nil && *got.Progress.Percent > 0, "the task has no progress"
	})
	if _, err := c.CancelTask(t.Context(), client.CancelTaskParams{ID: task.ID, GraceMs: new(3_600_000)}); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, runTime, func() (bool, string) {
		got, err := c.GetTask(t.Context(), task.ID)
		return err == nil && got.Status == "cancelled", "the task is not cancelled"
	})
	if err := cmd.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if code := cmd.Ended(t); code != 0 {
		t.Errorf("the worker ended with code %d", code)
	}
}

// worker returns the command that runs the worker.
func (p project) worker(url string, args ...string) *exec.Cmd {
	cmd := exec.Command(p.node, append([]string{filepath.Join("dist", "worker.js"), "w"}, args...)...)
	cmd.Dir, cmd.Env, cmd.Stderr = p.folder, append(os.Environ(), "CB_URL="+url), os.Stderr
	return cmd
}
