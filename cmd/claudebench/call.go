package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/jsontext"
	"github.com/claudebench/claudebench/internal/terminal"
)

func newCall() *cobra.Command {
	t := &target{}
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
			return t.call(cmd.Context(), args[0], json.RawMessage(params), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	t.bind(cmd)
	return cmd
}

func (t *target) call(ctx context.Context, method string, params json.RawMessage, stdout, stderr io.Writer) error {
	c, err := t.dial(client.WithRetry(0))
	if err != nil {
		return err
	}
	defer c.Close()
	var result json.RawMessage
	err = c.Call(ctx, method, params, &result)
	var refused *client.Error
	if errors.As(err, &refused) {
		text, err := jsontext.Marshal(refused)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintln(stderr, terminal.Escape(string(text))); err != nil {
			return err
		}
		return exitError{code: exitFailed}
	}
	if err != nil {
		return t.explained(err)
	}
	text := string(result)
	if terminal.Is(stdout) {
		var indented bytes.Buffer
		if json.Indent(&indented, result, "", "  ") == nil {
			text = terminal.Escape(indented.String())
		}
	}
	_, err = fmt.Fprintln(stdout, text)
	return err
}
