package server

import (
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cutOff waits until the server closes a connection, and gives what it said before.
func cutOff(t *testing.T, conn net.Conn) string {
	t.Helper()
	if err := conn.SetReadDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	said, err := io.ReadAll(conn)
	if nerr, ok := err.(net.Error); ok && nerr.Timeout() { //nolint:errorlint // as it comes
		t.Error("it is still open")
	}
	return string(said)
}

// drip sends a text a byte at a time until the connection is closed or the text is over.
func drip(ctx context.Context, conn net.Conn, text string) {
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for i := range len(text) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		if _, err := io.WriteString(conn, text[i:i+1]); err != nil {
			return
		}
	}
}

// Who sends a byte at a time, or nothing, is cut off when its time is over, however busily it sends.
func TestSlowCallersAreCutOff(t *testing.T) {
	t.Parallel()
	s, err := Start(t.Context(), settings(t, nil), Options{
		Logger: quiet, Timeouts: Timeouts{Header: 300 * time.Millisecond, Request: 600 * time.Millisecond, Idle: 300 * time.Millisecond},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	const body = `{"jsonrpc":"2.0","id":1,"method":"system.heartbeat","params":{"instanceId":"i"}}`
	header := "POST /rpc HTTP/1.1\r\nHost: " + s.Addr() + "\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	for name, c := range map[string]struct{ atOnce, slowly, want string }{
		"a connection and nothing": {"", "", ""},
		"a slow header":            {"", header, ""},
		"a header without an end":  {"POST /rpc HTTP/1.1\r\nX-Long: ", strings.Repeat("x", 10_000), ""},
		"a slow body":              {header, body, "400 Bad Request"},
		"a body in slow chunks":    {strings.Replace(header, "Content-Length: "+strconv.Itoa(len(body)), "Transfer-Encoding: chunked", 1), strings.Repeat("1\r\n \r\n", 1000), "400 Bad Request"},
		"a request and no other":   {header + body, "", "200 OK"},
		"another one, slowly":      {header + body, header, "200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if _, err := io.WriteString(conn, c.atOnce); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { defer close(ended); drip(ctx, conn, c.slowly) }()
			if said := cutOff(t, conn); !strings.Contains(said, c.want) || c.want == "" && strings.Contains(said, " 200 ") {
				t.Errorf("answered %q, want %q", said, c.want)
			}
			cancel()
			<-ended
		})
	}
	// A client at its ease is not among them.
	response, err := newClient(t, s.Addr()).http.Get("http://" + s.Addr() + "/healthz") //nolint:noctx // it has a timeout
	if err != nil {
		t.Fatal(err)
	}
	_ = response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Errorf("status %d", response.StatusCode)
	}
}
