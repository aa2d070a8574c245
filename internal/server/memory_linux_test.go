package server

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// maxGrowth is the maximum growth of a coordinator's memory in MiB, whatever lists are requested:
// the 512 MiB beyond which the program collects garbage eagerly, and what the kernel and the
// runtime use besides the heap.
const maxGrowth = 512 + 128

// A few short batches that repeatedly request large lists do not make a coordinator grow without
// limit, and it keeps working.
func TestListsOfLargeTasksTakeBoundedMemory(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.DatabaseURL = testenv.Postgres(t) })
	c := program(t, cfg)
	c.ready(t)
	large := strings.Repeat("x", 1_000_000)
	for range 16 {
		c.create(t, params{"text": "x", "metadata": params{"large": large}})
	}
	caughtUp(t, c.client)
	before := c.peak(t)

	const list = `{"jsonrpc":"2.0","id":%d,"method":"task.list"}`
	const tool = `{"jsonrpc":"2.0","id":%d,"method":"tools/call","params":{"name":"task_list","arguments":{}}}`
	var all errgroup.Group
	for n, attack := range []struct {
		path, call string
		calls      int
	}{{"/rpc", list, 20}, {"/rpc", list, 120}, {"/rpc", list, 256}, {"/rpc", list, 256}, {"/mcp", tool, 20}, {"/mcp", tool, 120}} {
		calls := make([]string, attack.calls)
		for i := range calls {
			calls[i] = fmt.Sprintf(attack.call, i)
		}
		body := "[" + strings.Join(calls, ",") + "]"
		all.Go(func() error {
			answers, size, err := c.flood(attack.path, body)
			if err != nil || answers != attack.calls {
				return fmt.Errorf("batch %d of %d calls: %d answers, %d bytes, %w", n, attack.calls, answers, size, err)
			}
			return nil
		})
	}
	if err := all.Wait(); err != nil {
		t.Error(err)
	}
	// All room is free again.
	if got := call[page](t, c.client, "task.list", params{"limit": 1}); got.TotalCount != 16 {
		t.Errorf("%d tasks are listed", got.TotalCount)
	}
	grown := c.peak(t) - before
	t.Logf("the coordinator grew by %d MiB", grown)
	if grown > maxGrowth {
		t.Errorf("the coordinator grew by %d MiB, want %d at most", grown, maxGrowth)
	}
}

// program builds and starts the program as users do, without the race detector, which takes several
// times the memory.
func program(t *testing.T, cfg *config.Config) *process {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "claudebench")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "../../cmd/claudebench").CombinedOutput(); err != nil {
		t.Fatalf("build the program: %v\n%s", err, out)
	}
	cmd, log := exec.Command(binary, "serve", "--listen", "127.0.0.1:0", "--rate-limits", "off", "--namespace", cfg.Namespace,
		"--redis-url", cfg.RedisURL, "--database-url", cfg.DatabaseURL, "--log-format", "json"), &screen{}
	cmd.Stderr = log
	p := &process{cmd: testenv.Launch(t, cmd)}
	t.Cleanup(func() { _ = p.cmd.Process.Kill() })
	listening := regexp.MustCompile(`"msg":"listening","address":"http://([^"]+)"`)
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		found := listening.FindStringSubmatch(log.String())
		if found == nil {
			return false, log.String()
		}
		p.client = newClient(t, found[1])
		return true, ""
	})
	return p
}

// flood sends a batch and counts its responses without keeping them.
func (p *process) flood(path, body string) (answers int, size int64, err error) {
	r, err := http.NewRequestWithContext(context.Background(), http.MethodPost, p.url+path, strings.NewReader(body))
	if err != nil {
		return 0, 0, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json, text/event-stream")
	r.Header.Set("Mcp-Protocol-Version", "2025-03-26")
	response, err := p.http.Do(r)
	if err != nil {
		return 0, 0, err
	}
	defer response.Body.Close()
	counted := &counter{what: `"jsonrpc":"2.0"`}
	size, err = io.Copy(counted, response.Body)
	return counted.n, size, err
}

// counter counts how often a text occurs in what is written.
type counter struct {
	what, rest string
	n          int
}

func (c *counter) Write(p []byte) (int, error) {
	text := c.rest + string(p)
	c.n += strings.Count(text, c.what)
	c.rest = text[max(0, len(text)-len(c.what)+1):]
	return len(p), nil
}

// peak returns the maximum memory that the process has used, in MiB.
func (p *process) peak(t *testing.T) int {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	var kib int
	if _, line, ok := strings.Cut(string(text), "VmHWM:"); !ok {
		t.Fatalf("no peak in %s", text)
	} else if _, err := fmt.Sscan(line, &kib); err != nil {
		t.Fatal(err)
	}
	return kib / 1024
}
