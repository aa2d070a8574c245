// Package mcpstdio is an MCP server over standard input and output that an agent starts as its
// child: `claudebench mcp`. It stands between the agent's model and a coordinator:
//
//   - It registers an instance for the agent, sends its heartbeats while the input is open, and
//     unregisters it when the input closes. If it is killed, the instance is found dead by its TTL.
//   - It offers the tools of the coordinator's /mcp, whatever version that is, without the params
//     that say who the caller is, and without idempotency keys. It fills both in (tools.go).
//   - A claim that waits sends progress notifications, so that the client does not time out.
//   - With each answer it tells the model what changed meanwhile and what the model cannot see by
//     itself: tasks that it was assigned, and tasks that it has lost (notes.go).
//
// Without a coordinator it still answers: the tools are those of this program's own version, and
// their calls fail with a text that says what to do. It registers as soon as the coordinator
// answers, and again whenever the coordinator does not know the instance, such as after a flush or
// after a long sleep of the machine.
//
// cmd/claudebench calls Run.
package mcpstdio

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"syscall"
	"time"

	sdk "github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/claudebench/claudebench/client"
)

// Options configure a server.
type Options struct {
	// Coordinator calls the coordinator. It must not repeat calls: the server does.
	Coordinator *client.Client
	// ID is the id of the instance.
	ID string
	// Roles are the roles of the instance.
	Roles []string
	// MaxTasks is the maximum number of tasks that auto-assignment lets the instance hold.
	MaxTasks int
	// Session identifies the agent beyond the life of this process. A server with the same ID and
	// Session continues with the tasks that an earlier one held. "" means that nothing is continued.
	Session string
	// AgentSession is the agent's own id of its session, or "". Without Session the instance is
	// registered with it, so that the coordinator knows whose hooks it receives.
	AgentSession string
	// TTL is how long the instance lives without a heartbeat.
	TTL time.Duration
	// Tools are the tools to offer until the coordinator has answered.
	Tools []*sdk.Tool
	// Version is the version of the program that clients see.
	Version string
	// Log receives what a person should know. It must not write to Out.
	Log *slog.Logger
	// In and Out are the client's connection.
	In  io.ReadCloser
	Out io.WriteCloser
	// Progress is the interval of progress notifications. The default is five seconds.
	Progress time.Duration
	// Look is the minimum time between two searches for tasks that the instance was assigned. The
	// default is ten seconds.
	Look time.Duration
}

const (
	// firstAnswer is how long the start waits for the coordinator before it offers Options.Tools.
	firstAnswer = 3 * time.Second
	// leaveTime is how long unregistering may take.
	leaveTime = 5 * time.Second
)

// Run serves until the input closes or ctx ends. Then it lets the calls in flight finish, except
// claims that wait, and unregisters the instance.
func Run(ctx context.Context, o Options) error {
	if o.Progress == 0 {
		o.Progress = 5 * time.Second
	}
	if o.Look == 0 {
		o.Look = 10 * time.Second
	}
	s := newServer(o)
	server := sdk.NewServer(&sdk.Implementation{Name: "claudebench", Title: "ClaudeBench", Version: o.Version}, &sdk.ServerOptions{
		Instructions: s.instructions(),
		PageSize:     1000, // all lists fit into one page
		Capabilities: &sdk.ServerCapabilities{
			Tools: &sdk.ToolCapabilities{ListChanged: true}, Resources: &sdk.ResourceCapabilities{}, Prompts: &sdk.PromptCapabilities{},
		},
	})
	s.tools.server, s.tools.handler = server, s.call
	s.tools.offer(o.Tools)
	server.AddReceivingMiddleware(s.passOn)

	living, die := context.WithCancel(context.WithoutCancel(ctx))
	var life lifeOf
	life.start(living, s)
	select { // the first list that the client reads is the coordinator's, if it answers soon
	case <-s.met:
	case <-ctx.Done():
	case <-time.After(firstAnswer):
		o.Log.WarnContext(ctx, "the coordinator does not answer; offering the tools of this version, and trying again", "url", o.Coordinator.URL())
	}

	conn := &connection{stop: ctx.Done(), drain: s.drain}
	err := server.Run(context.WithoutCancel(ctx), conn.over(&sdk.IOTransport{Reader: o.In, Writer: o.Out}))
	die()
	life.wait()
	leaving, done := context.WithTimeout(context.WithoutCancel(ctx), leaveTime)
	defer done()
	s.leave(leaving)
	// An agent that is gone reads no more. That is how it ends, not a failure.
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrClosedPipe) && !errors.Is(err, syscall.EPIPE) {
		return fmt.Errorf("serve MCP over standard input and output: %w", err)
	}
	return nil
}
