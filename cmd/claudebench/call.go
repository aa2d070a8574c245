package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/terminal"
)

// callTimeout is longer than the longest timeout of a method.
const callTimeout = 11 * time.Minute

func newCall() *cobra.Command {
	c := &client{}
	cmd := &cobra.Command{
		Use:   "call METHOD [PARAMS]",
		Short: "Make one JSON-RPC call",
		Long: `Make one JSON-RPC call and print its result as JSON. PARAMS is a JSON object, @FILE to
read one from a file, or - to read one from standard input. The result is indented on a
terminal. An error is printed to standard error, and the exit code is 1. docs/api.md lists
the methods, and so does 'claudebench call system.discover'.

If the coordinator needs a token, set the environment variable CB_TOKEN. There is no flag for
it, because other users of the machine can read a program's arguments.`,
		Example: `  claudebench call system.register '{"id":"worker-1","roles":["worker"]}'
  claudebench call task.create '{"text":"summarise chapter one","priority":80}'
  claudebench call task.create @task.json
  claudebench call task.list`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			params := "{}"
			if len(args) == 2 {
				params = args[1]
			}
			file, isFile := strings.CutPrefix(params, "@")
			var text []byte
			var err error
			switch {
			case params == "-":
				text, err = io.ReadAll(cmd.InOrStdin())
			case isFile:
				text, err = os.ReadFile(file)
			default:
				text = []byte(params)
			}
			if err != nil {
				return usageError(fmt.Errorf("read params: %w", err))
			}
			if params = string(text); !json.Valid(text) {
				return usageError(fmt.Errorf("PARAMS is not JSON: %q; pass an object in single quotes, such as '{\"id\":\"t-1\"}'", params))
			}
			return c.call(cmd.Context(), args[0], json.RawMessage(params), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	c.bind(cmd)
	return cmd
}

func (c *client) call(ctx context.Context, method string, params json.RawMessage, stdout, stderr io.Writer) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.baseURL()+"/rpc", bytes.NewReader(body))
	if err != nil {
		return usageError(err)
	}
	request.Header.Set("Content-Type", "application/json")
	_, text, err := c.send(request)
	if err != nil {
		return err
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Error == nil && answer.Result == nil {
		return unavailableError(fmt.Errorf("read the reply of %s: it is not a coordinator's: %.200s; check --url", c.baseURL(), text))
	}
	if answer.Error != nil {
		if _, err := fmt.Fprintln(stderr, terminal.Escape(string(answer.Error))); err != nil {
			return err
		}
		return exitError{code: exitFailed}
	}
	result := string(answer.Result)
	if terminal.Is(stdout) {
		var indented bytes.Buffer
		if json.Indent(&indented, answer.Result, "", "  ") == nil {
			result = terminal.Escape(indented.String())
		}
	}
	_, err = fmt.Fprintln(stdout, result)
	return err
}
