package server

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"
)

// cutOff waits until the server closes a connection, and returns what the server sent before.
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

// drip sends a text one byte at a time until the connection is closed or the text ends.
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

// A caller that sends one byte at a time, or nothing, is disconnected when its time is over,
// however actively it sends.
func TestSlowCallersAreCutOff(t *testing.T) {
	t.Parallel()
	const body = `{"jsonrpc":"2.0","id":1,"method":"system.heartbeat","params":{"instanceId":"i"}}`
	header := "POST /rpc HTTP/1.1\r\nHost: localhost:PORT\r\nContent-Type: application/json\r\nContent-Length: " + strconv.Itoa(len(body)) + "\r\n\r\n"
	const soon = 300 * time.Millisecond
	inHeader, inRequest, between := Timeouts{Header: soon}, Timeouts{Request: soon}, Timeouts{Idle: soon}
	for name, c := range map[string]struct {
		timeouts             Timeouts // the others are longer than the test waits
		atOnce, slowly, want string
	}{
		"a connection and nothing": {inHeader, "", "", ""},
		"a slow header":            {inHeader, "", header, ""},
		"a header without an end":  {inHeader, "POST /rpc HTTP/1.1\r\nX-Long: ", strings.Repeat("x", 10_000), ""},
		"a slow body":              {inRequest, header, body, "400 Bad Request"},
		"a body in slow chunks":    {inRequest, strings.Replace(header, "Content-Length: "+strconv.Itoa(len(body)), "Transfer-Encoding: chunked", 1), strings.Repeat("1\r\n \r\n", 1000), "400 Bad Request"},
		"a request and no other":   {between, header + body, "", "200 OK"},
		"another one, slowly":      {inHeader, header + body, header, "200 OK"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s, err := Start(t.Context(), settings(t, nil), Options{Logger: quiet, Timeouts: c.timeouts})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() {
				if err := s.Stop(context.Background()); err != nil {
					t.Error(err)
				}
			})
			port := s.Addr()[strings.LastIndexByte(s.Addr(), ':')+1:]
			atOnce, slowly := strings.ReplaceAll(c.atOnce, "PORT", port), strings.ReplaceAll(c.slowly, "PORT", port)
			conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", s.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			if _, err := io.WriteString(conn, atOnce); err != nil {
				t.Fatal(err)
			}
			ended := make(chan struct{})
			go func() { defer close(ended); drip(ctx, conn, slowly) }()
			if said := cutOff(t, conn); !strings.Contains(said, c.want) || c.want == "" && strings.Contains(said, " 200 ") {
				t.Errorf("answered %q, want %q", said, c.want)
			}
			cancel()
			<-ended
		})
	}
}
