package main

import (
	"cmp"
	"fmt"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/mcp"
	"github.com/claudebench/claudebench/internal/mcpstdio"
)

// The bounds of --ttl are those of ttlMs of system.register.
const (
	minTTL, maxTTL = 5 * time.Second, time.Hour
	// claudeSession is the variable in which Claude Code gives its children the id of its session.
	// Its hooks have the same id.
	claudeSession = "CLAUDE_CODE_SESSION_ID"
	// maxRoles and maxName bound --roles and --id, as system.register does.
	maxRoles, maxName = 64, 256
)

func newMCP() *cobra.Command {
	at := &target{}
	cfg := &config.Config{}
	o := mcpstdio.Options{}
	cmd := &cobra.Command{
		Use:   "mcp",
		Short: "Be an MCP server for an agent, over standard input and output",
		Long: `Serve MCP over standard input and output, for agents such as Claude Code, Codex and Cursor. The
agent starts this command as its child, so the command lives as long as the agent. It registers
an instance for the agent, sends its heartbeats however long the agent thinks, and unregisters it
when the agent ends. If it is killed, the instance is found dead when --ttl is over.

The agent gets the tools of the coordinator without the params that say who it is. task_claim
waits for a task. Each answer also says what happened to the agent's tasks meanwhile.

With --session, an agent that is started again within --ttl continues with the tasks that it held.

If the coordinator needs a token, set the environment variable CB_TOKEN. If no coordinator answers,
the server starts anyway, and tries again until one does. It logs to standard error.`,
		Example: `  claude mcp add claudebench -- claudebench mcp --roles worker
  codex mcp add claudebench -- claudebench mcp --url https://bench.example.com
  claudebench mcp --session "$PWD"`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			// Output that nobody reads any more must not end the program before it has unregistered.
			signal.Ignore(syscall.SIGPIPE)
			if err := checkAgent(&o); err != nil {
				return usageError(err)
			}
			var err error
			// The server repeats calls by itself.
			if o.Coordinator, err = at.dial(client.WithRetry(0)); err != nil {
				return err
			}
			defer o.Coordinator.Close()
			methods, err := commands.Methods()
			if err != nil {
				return err
			}
			if o.Tools, err = mcp.Tools(methods); err != nil {
				return err
			}
			o.AgentSession = os.Getenv(claudeSession)
			o.Version, o.Log, o.In, o.Out = fullVersion(), newLogger(cfg), os.Stdin, keepOpen{os.Stdout}
			return mcpstdio.Run(cmd.Context(), o)
		},
	}
	at.bind(cmd)
	cmd.Flags().StringVar(&o.ID, "id", "", "the instance's id (default: host name and --session, else host name and process id of the agent)")
	cmd.Flags().StringSliceVar(&o.Roles, "roles", []string{"worker"}, "the instance's roles, separated by commas")
	cmd.Flags().IntVar(&o.MaxTasks, "max-tasks", 1, "the maximum number of open tasks that the instance is assigned")
	cmd.Flags().StringVar(&o.Session, "session", "", "a name for the agent's session; an agent that is started again with the same name continues with its tasks")
	cmd.Flags().DurationVar(&o.TTL, "ttl", 30*time.Second, "how long the instance lives without a heartbeat")
	cfg.BindLog(cmd.Flags())
	return cmd
}

// checkAgent checks the settings of an agent's instance, and sets its id.
func checkAgent(o *mcpstdio.Options) error {
	o.Roles = slices.DeleteFunc(o.Roles, func(r string) bool { return r == "" })
	switch {
	case o.TTL < minTTL || o.TTL > maxTTL:
		return fmt.Errorf("--ttl must be from %s to %s, but is %s", minTTL, maxTTL, o.TTL)
	case o.MaxTasks < 0 || o.MaxTasks > 10_000:
		return fmt.Errorf("--max-tasks must be from 0 to 10000, but is %d", o.MaxTasks)
	case len(o.Roles) > maxRoles:
		return fmt.Errorf("--roles has %d roles, and may have %d", len(o.Roles), maxRoles)
	}
	if o.ID == "" {
		host, err := os.Hostname()
		if err != nil {
			return fmt.Errorf("find the name of this host: %w; pass --id", err)
		}
		o.ID = host + "-" + cmp.Or(o.Session, fmt.Sprint(os.Getppid()))
	}
	for flag, v := range map[string]string{"--id": o.ID, "--session": o.Session} {
		if len(v) > maxName || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
			return fmt.Errorf("%s must have at most %d bytes and no control characters, but is %q", flag, maxName, v)
		}
	}
	return nil
}

// keepOpen is a file that the SDK does not close.
type keepOpen struct{ *os.File }

func (keepOpen) Close() error { return nil }
