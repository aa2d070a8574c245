package mcpstdio

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

	"github.com/claudebench/claudebench/client"
)

// upstream sends messages of MCP to a coordinator. A coordinator has no sessions, so each message
// is a request by itself, and a coordinator that is restarted breaks nothing. The SDK's client would
// keep a connection and give it up at the first error.
type upstream struct{ *client.Client }

// protocolVersion is the version in which messages are sent. Every coordinator knows it.
const protocolVersion = "2025-11-25"

// maxAnswer is the maximum length of an answer in bytes. A coordinator's are at most 16 MiB, and
// hold each result twice.
const maxAnswer = 64 << 20

// errForeign is the error of a URL whose answers are not a coordinator's.
var errForeign = errors.New("it does not answer as a ClaudeBench coordinator; check --url")

// refusedError is an error of the protocol.
type refusedError struct {
	Code    int64           `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (e *refusedError) Error() string { return fmt.Sprintf("%s (%d) %s", e.Message, e.Code, e.Data) }

// ask sends a request and decodes its result. The error is a *refusedError, errForeign, or that of
// the connection.
func (u *upstream) ask(ctx context.Context, method string, params, result any) error {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return fmt.Errorf("encode %s: %w", method, err)
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, u.URL()+"/mcp", bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Accept", "application/json, text/event-stream")
	request.Header.Set("Mcp-Protocol-Version", protocolVersion)
	response, err := u.Do(request)
	if err != nil {
		return err
	}
	defer func() { _ = response.Body.Close() }()
	text, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	if err != nil {
		return err
	}
	var answer struct {
		JSONRPC string          `json:"jsonrpc"`
		Result  json.RawMessage `json:"result"`
		Error   *refusedError   `json:"error"`
	}
	err = json.Unmarshal(text, &answer)
	switch {
	case response.StatusCode == http.StatusUnauthorized:
		return errors.New("it accepts only callers with a token, and CB_TOKEN is missing or not valid")
	case response.StatusCode == http.StatusServiceUnavailable || response.StatusCode == http.StatusBadGateway || response.StatusCode == http.StatusGatewayTimeout:
		return &net.OpError{Op: "call", Net: "http", Err: fmt.Errorf("status %d", response.StatusCode)}
	case err != nil || answer.JSONRPC != "2.0":
		return fmt.Errorf("%w (POST /mcp returned status %d)", errForeign, response.StatusCode)
	case answer.Error != nil:
		return answer.Error
	}
	return json.Unmarshal(answer.Result, result)
}

// unsent reports whether a request that failed cannot have reached a coordinator.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, new(*tls.CertificateVerificationError))
}

// broken reports whether a request failed with its connection, so that its outcome is unknown unless
// it is unsent.
func broken(err error) bool {
	return errors.As(err, new(*client.ConnectionError)) || errors.As(err, new(net.Error)) || errors.Is(err, io.ErrUnexpectedEOF)
}
