package mcpstdio

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/client"
)

// server is what the parts of this package share.
type server struct {
	o        Options
	upstream *upstream
	tools    tools
	keys     keys
	holdings holdings
	log      *slog.Logger

	met     chan struct{} // closed when the coordinator has answered for the first time
	meeting sync.Once

	registering sync.Mutex
	session     string // of the registration

	mu         sync.Mutex
	registered bool
	trouble    error // why the coordinator cannot be used, or nil

	draining chan struct{} // closed when claims may wait no longer
	drained  sync.Once
}

func newServer(o Options) *server {
	s := &server{
		o: o, upstream: &upstream{o.Coordinator}, log: o.Log, session: o.Session,
		met: make(chan struct{}), draining: make(chan struct{}),
		keys: keys{process: rand.Text(), now: time.Now},
	}
	s.tools.id = o.ID
	s.holdings = holdings{s: s, known: map[string]*task{}, told: map[string]bool{}, look: true}
	if s.session == "" {
		s.session = cmp.Or(o.AgentSession, rand.Text())
	}
	return s
}

func (s *server) drain() { s.drained.Do(func() { close(s.draining) }) }

// instructions describe the server to a model that need not register.
func (s *server) instructions() string {
	return fmt.Sprintf("ClaudeBench coordinates a fleet of agents. You are its instance %q with the roles %s. This server registers you and keeps you "+
		"registered while you run, however long you think; it also says who you are in every call. To work: task_claim, do the work, task_complete with "+
		"the task's id and the attempt that task_claim returned, and so on. task_claim waits half a minute for a task; claimed is false if there was none. "+
		"A line that begins with \"Note:\" tells what happened to your tasks meanwhile. An error says what to do next. A call that is repeated takes effect once.",
		s.o.ID, strings.Join(s.o.Roles, ", "))
}

// toolResult is the result of a tool as the coordinator sends it.
type toolResult struct {
	Content           json.RawMessage `json:"content"`
	StructuredContent json.RawMessage `json:"structuredContent,omitempty"`
	IsError           bool            `json:"isError"`
}

// failure returns the error that a result holds, or nil. Its text begins with a line of JSON.
func (r *toolResult) failure() *client.Error {
	if !r.IsError {
		return nil
	}
	var content []struct{ Text string }
	e := new(client.Error)
	if json.Unmarshal(r.Content, &content) != nil || len(content) == 0 {
		return e
	}
	line, _, _ := strings.Cut(content[0].Text, "\n")
	if json.Unmarshal([]byte(line), e) != nil {
		e.Message = content[0].Text
	}
	return e
}

// lifeOf is the goroutine that keeps the instance alive.
type lifeOf struct{ running sync.WaitGroup }

func (l *lifeOf) start(ctx context.Context, s *server) { l.running.Go(func() { s.live(ctx) }) }
func (l *lifeOf) wait()                                { l.running.Wait() }

const (
	// retryPause is the time between two attempts to reach a coordinator.
	retryPause = time.Second
	// beatTime is how long a heartbeat or a registration may take: as long as the coordinator lets
	// them.
	beatTime = 5 * time.Second
)

// live meets the coordinator, registers, and sends heartbeats until ctx ends.
func (s *server) live(ctx context.Context) {
	pause := time.NewTimer(0)
	defer pause.Stop()
	for known := false; ; {
		select {
		case <-ctx.Done():
			return
		case <-pause.C:
		}
		var err error
		if !known {
			err = s.meet(ctx)
			known = err == nil
		}
		if known {
			err = s.beat(ctx)
		}
		s.note(ctx, err)
		if err == nil || errors.Is(err, errForeign) {
			s.meeting.Do(func() { close(s.met) })
		}
		if err == nil {
			pause.Reset(s.o.TTL / 3)
			continue
		}
		// After an outage the coordinator may be another version.
		known = known && !broken(err)
		pause.Reset(min(retryPause, s.o.TTL/6))
	}
}

// note keeps why the coordinator cannot be used, and logs it when it changes.
func (s *server) note(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	before := s.trouble
	s.trouble = err
	s.mu.Unlock()
	switch {
	case err != nil && (before == nil || before.Error() != err.Error()):
		s.log.WarnContext(ctx, "the coordinator cannot be used; trying again until it can", "url", s.o.Coordinator.URL(), "error", err)
	case err == nil && before != nil:
		s.log.InfoContext(ctx, "the coordinator can be used again", "url", s.o.Coordinator.URL())
	}
}

// foreign returns the error of a URL that is not a coordinator's, or nil.
func (s *server) foreign() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if errors.Is(s.trouble, errForeign) {
		return s.trouble
	}
	return nil
}

// meet checks that the URL is a coordinator's, and takes its tools.
func (s *server) meet(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	var hello struct {
		ServerInfo struct{ Name, Version string } `json:"serverInfo"`
	}
	if err := s.upstream.ask(ctx, "initialize", map[string]any{
		"protocolVersion": protocolVersion, "capabilities": map[string]any{}, "clientInfo": map[string]any{"name": "claudebench mcp", "version": s.o.Version},
	}, &hello); err != nil {
		return err
	}
	if hello.ServerInfo.Name != "claudebench" {
		return fmt.Errorf("%w: it is an MCP server named %q", errForeign, hello.ServerInfo.Name)
	}
	var list struct{ Tools []*sdk.Tool }
	if err := s.upstream.ask(ctx, "tools/list", map[string]any{}, &list); err != nil {
		return err
	}
	s.tools.offer(list.Tools)
	s.log.InfoContext(ctx, "found the coordinator", "url", s.o.Coordinator.URL(), "version", hello.ServerInfo.Version)
	return nil
}

// beat sends a heartbeat, or registers the instance if the coordinator does not know it.
func (s *server) beat(ctx context.Context) error {
	s.mu.Lock()
	registered := s.registered
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, beatTime)
	defer cancel()
	if registered {
		answer, err := s.o.Coordinator.Heartbeat(ctx, client.ID(s.o.ID))
		if err != nil || answer.Alive {
			return err
		}
		s.log.WarnContext(ctx, "the coordinator does not know the instance any more; registering it again", "id", s.o.ID)
	}
	return s.register(ctx)
}

// register registers the instance. With the session of its last registration it keeps its tasks.
func (s *server) register(ctx context.Context) error {
	s.registering.Lock()
	defer s.registering.Unlock()
	ctx, cancel := context.WithTimeout(ctx, beatTime)
	defer cancel()
	params := map[string]any{"id": s.o.ID, "roles": s.o.Roles, "metadata": map[string]any{"maxTasks": s.o.MaxTasks, "sessionId": s.session, "client": "claudebench mcp"}}
	if g, ok := s.tools.takes("system_register"); ok && g.params["ttlMs"] {
		params["ttlMs"] = s.o.TTL.Milliseconds()
	}
	var answer client.RegisterResult
	if err := s.o.Coordinator.Call(ctx, "system.register", params, &answer); err != nil {
		return err
	}
	if !answer.Registered {
		return fmt.Errorf("the id %q belongs to a live instance of another token; pass another one with --id", s.o.ID)
	}
	s.mu.Lock()
	s.registered = true
	s.mu.Unlock()
	s.holdings.lookAgain()
	s.log.InfoContext(ctx, "registered", "id", s.o.ID, "roles", s.o.Roles)
	return nil
}

// leave unregisters the instance, so that its tasks go to others at once. An agent with a session
// that holds tasks keeps them for its TTL: it may have been restarted.
func (s *server) leave(ctx context.Context) {
	s.mu.Lock()
	registered := s.registered
	s.mu.Unlock()
	if !registered {
		return
	}
	if n := s.holdings.count(); s.o.Session != "" && n > 0 {
		s.log.InfoContext(ctx, "left; the tasks stay for the session until the TTL is over", "id", s.o.ID, "tasks", n, "ttl", s.o.TTL)
		return
	}
	if err := s.o.Coordinator.Call(ctx, "system.unregister", map[string]any{"instanceId": s.o.ID, "sessionId": s.session}, nil); err != nil {
		s.log.WarnContext(ctx, "could not unregister; the tasks go to others when the TTL is over", "id", s.o.ID, "ttl", s.o.TTL, "error", err)
		return
	}
	s.log.InfoContext(ctx, "unregistered", "id", s.o.ID)
}
