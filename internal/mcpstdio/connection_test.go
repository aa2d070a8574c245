package mcpstdio

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/jsonrpc"
	sdk "github.com/modelcontextprotocol/go-sdk/mcp"
)

// silent is a connection that says nothing until it is closed.
type silent struct{ closed chan struct{} }

func (s silent) Connect(context.Context) (sdk.Connection, error) { return s, nil }
func (s silent) Write(context.Context, jsonrpc.Message) error    { return io.ErrClosedPipe }
func (s silent) SessionID() string                               { return "" }
func (s silent) Close() error                                    { close(s.closed); return nil }
func (s silent) Read(context.Context) (jsonrpc.Message, error) {
	<-s.closed
	return nil, io.EOF
}

// The SDK closes the connection when a notification cannot be written, because the client is gone. The
// reading must end then, or the server stays for ever and its instance stays registered.
func TestReadEndsWithTheConnection(t *testing.T) {
	t.Parallel()
	for range 100 {
		c := &connection{stop: t.Context().Done(), drain: func() {}}
		if _, err := c.over(silent{make(chan struct{})}).Connect(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := c.Close(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		_, err := c.Read(ctx)
		cancel()
		if !errors.Is(err, io.EOF) {
			t.Fatalf("the reading ended with %v", err)
		}
	}
}
