package nodetest

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// Generations are the official MCP clients for TypeScript: v1 is @modelcontextprotocol/sdk, on
// which most agents stand today, and v2 is @modelcontextprotocol/client.
func Generations() []string { return []string{"v1", "v2"} }

// answerTime is how long an answer may take on a busy machine, waiting claims included.
const answerTime = 90 * time.Second

// Client is an official MCP client in a process of its own.
type Client struct {
	cmd *testenv.Child
	in  io.WriteCloser

	mu       sync.Mutex
	last     int
	waiting  map[int]chan Answer
	progress map[int]int
	changed  chan struct{} // replaced at each notification
}

// Answer is the answer to a command: a result or an error.
type Answer struct {
	Result json.RawMessage
	Error  *struct {
		Code    any
		Message string
	}
}

// Called is the result of a tool.
type Called struct {
	Content           []struct{ Type, Text string }
	StructuredContent json.RawMessage
	IsError           bool
}

// Connected is what a client knows of its server.
type Connected struct {
	Server                 struct{ Name, Version string }
	Instructions, Protocol string
	PID                    int
}

// Params are the params of a command.
type Params map[string]any

// NewClient starts a client of a generation, which is ended with the test. It is not connected.
func (p Programs) NewClient(t testing.TB, generation string) *Client {
	t.Helper()
	cmd := exec.Command(p.Node, p.client, generation)
	cmd.Dir, cmd.Stderr = p.Folder, os.Stderr
	for _, v := range os.Environ() { // without settings of ClaudeBench, for a server that it starts
		if !strings.HasPrefix(v, "CB_") {
			cmd.Env = append(cmd.Env, v)
		}
	}
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	r, w := io.Pipe()
	cmd.Stdout = w
	c := &Client{in: in, waiting: map[int]chan Answer{}, progress: map[int]int{}, changed: make(chan struct{})}
	c.cmd = testenv.Launch(t, cmd)
	read := make(chan struct{})
	go func() {
		defer close(read)
		c.read(r)
	}()
	t.Cleanup(func() {
		_ = in.Close() // ends the client, and with it the server that it has started
		c.cmd.Ended(t)
		_ = w.Close()
		<-read
	})
	return c
}

// Kill ends the client as a crash would.
func (c *Client) Kill(t testing.TB) {
	t.Helper()
	if err := c.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	c.cmd.Ended(t)
}

func (c *Client) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 64<<20)
	for lines.Scan() {
		var line struct {
			ID       int
			Progress json.RawMessage
			Answer
		}
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			continue // the answer that is missing fails the test
		}
		c.mu.Lock()
		if line.Progress != nil {
			c.progress[line.ID]++
			close(c.changed)
			c.changed = make(chan struct{})
		} else if to := c.waiting[line.ID]; to != nil {
			delete(c.waiting, line.ID)
			to <- line.Answer
		}
		c.mu.Unlock()
	}
}

// Pending is a command under way.
type Pending struct {
	c    *Client
	id   int
	done chan Answer
}

// Start begins a command.
func (c *Client) Start(t testing.TB, do string, p Params) *Pending {
	t.Helper()
	line := Params{"do": do}
	for name, v := range p {
		line[name] = v
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.last++
	line["id"] = c.last
	text, err := json.Marshal(line)
	if err != nil {
		t.Fatal(err)
	}
	pending := &Pending{c, c.last, make(chan Answer, 1)}
	c.waiting[c.last] = pending.done
	if _, err := c.in.Write(append(text, '\n')); err != nil {
		t.Fatalf("the client is gone: %v", err)
	}
	return pending
}

// Progress waits until the command has had n progress notifications.
func (p *Pending) Progress(t testing.TB, n int) {
	t.Helper()
	late := time.NewTimer(answerTime)
	defer late.Stop()
	for {
		p.c.mu.Lock()
		had, changed := p.c.progress[p.id], p.c.changed
		p.c.mu.Unlock()
		if had >= n {
			return
		}
		select {
		case <-changed:
		case <-late.C:
			t.Fatalf("%d progress notifications, want %d", had, n)
		}
	}
}

// Wait waits for the answer.
func (p *Pending) Wait(t testing.TB) Answer {
	t.Helper()
	late := time.NewTimer(answerTime)
	defer late.Stop()
	select {
	case a := <-p.done:
		return a
	case <-p.c.cmd.Done():
		t.Fatal("the client ended without an answer")
	case <-late.C:
		t.Fatal("the client does not answer")
	}
	return Answer{}
}

// Do runs a command that must succeed and decodes its result.
func Do[R any](t testing.TB, c *Client, do string, p Params) R {
	t.Helper()
	r, err := Into[R](c.Start(t, do, p).Wait(t))
	if err != nil {
		t.Fatalf("%s %v: %v", do, p, err)
	}
	return r
}

// Into decodes the result of an answer, or returns its error.
func Into[R any](a Answer) (r R, err error) {
	if a.Error != nil {
		return r, fmt.Errorf("%v: %s", a.Error.Code, a.Error.Message)
	}
	if len(a.Result) == 0 {
		return r, errors.New("no result")
	}
	return r, json.Unmarshal(a.Result, &r)
}
