package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/terminal"
)

// callTimeout is longer than the longest timeout of a method.
const callTimeout = 11 * time.Minute

func newCall() *cobra.Command {
	var url string
	cmd := &cobra.Command{
		Use:   "call METHOD [PARAMS]",
		Short: "Make one JSON-RPC call",
		Long: `Make one JSON-RPC call and print its result as JSON. PARAMS is a JSON object, @FILE to
read one from a file, or - to read one from standard input. The result is indented on a
terminal. On an error the error is printed to standard error, and the exit
code is 1. docs/api.md lists the methods.

Where the coordinator asks for a token, it is taken from the environment variable CB_TOKEN.
There is no flag for it: other users of the machine can read a program's arguments.`,
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
				return usageError(fmt.Errorf("PARAMS is not JSON: %q; give an object in single quotes, as '{\"id\":\"t-1\"}'", params))
			}
			return call(cmd.Context(), baseURL(url), args[0], json.RawMessage(params), cmd.OutOrStdout(), cmd.ErrOrStderr())
		},
	}
	bindURL(cmd, &url)
	return cmd
}

// bindURL adds the flag of the coordinator to talk to.
func bindURL(cmd *cobra.Command, url *string) {
	cmd.Flags().StringVar(url, "url", "", "the coordinator; http:// and the listen address (CB_LISTEN, 127.0.0.1:3000) when not given")
}

func baseURL(url string) string {
	if url == "" {
		url = os.Getenv("CB_LISTEN")
	}
	if url == "" {
		url = "127.0.0.1:3000"
	}
	if !strings.Contains(url, "://") {
		// A coordinator that listens on every address is called on this machine's own.
		if host, port, err := net.SplitHostPort(url); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
			url = net.JoinHostPort("localhost", port)
		}
		url = "http://" + url
	}
	return strings.TrimSuffix(url, "/")
}

func call(ctx context.Context, url, method string, params json.RawMessage, stdout, stderr io.Writer) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url+"/rpc", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	authorize(request)
	text, err := send(request)
	if err != nil {
		return err
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil || answer.Error == nil && answer.Result == nil {
		return fmt.Errorf("%s does not answer as a coordinator does: %.200s", url, text)
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

// authorize adds the token of the environment, if there is one.
func authorize(request *http.Request) {
	if token := strings.TrimSpace(os.Getenv(config.Token)); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
}

// send makes a request and reads its answer, whatever its status.
func send(request *http.Request) ([]byte, error) {
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		var certificate *tls.CertificateVerificationError
		if errors.As(err, &certificate) {
			return nil, unavailableError(fmt.Errorf("the certificate of %s is not trusted: %w; name the host as the certificate does, "+
				"or set SSL_CERT_FILE to the file of its CA", request.URL.Host, certificate.Err))
		}
		var dial interface{ Timeout() bool }
		if errors.As(err, &dial) && !dial.Timeout() {
			return nil, fmt.Errorf("no coordinator answers at %s: start one with 'claudebench up', or name it with --url (%w)",
				request.URL.Host, err)
		}
		return nil, err
	}
	defer func() { _ = response.Body.Close() }()
	return io.ReadAll(response.Body)
}
