package redisconn

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"
)

// answering starts a server that replies to everything with the same text, or closes the connection
// if text is empty.
func answering(t *testing.T, text string) string {
	t.Helper()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			for received := make([]byte, 4096); ; {
				if _, err := conn.Read(received); err != nil || text == "" {
					break
				}
				_, _ = io.WriteString(conn, text)
			}
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return listener.Addr().String()
}

func TestExplain(t *testing.T) {
	t.Parallel()
	const plain, secure = "redis://u:sesame@h", "rediss://:sesame@h"
	for _, c := range []struct {
		url  string
		err  error
		want string
	}{
		{plain, io.EOF, "use rediss://"},
		{plain, fmt.Errorf("read: %w", syscall.ECONNRESET), "use rediss://"},
		{secure, context.DeadlineExceeded, "use redis://"},
		{secure, io.EOF, ""},
		{plain, context.DeadlineExceeded, ""},
		{plain, errors.New("another"), ""},
	} {
		got := Explain(c.err, c.url)
		if !errors.Is(got, c.err) || c.want == "" && got.Error() != c.err.Error() || !strings.Contains(got.Error(), c.want) || strings.Contains(got.Error(), "sesame") {
			t.Errorf("Explain(%v): %v, want %q", c.err, got, c.want)
		}
	}
	if Explain(nil, plain) != nil {
		t.Error("nothing is explained")
	}
}

// TLS to a port without TLS, and the reverse, are recognised by the reply.
func TestExplainTellsTheProtocolApart(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"rediss://" + answering(t, "-ERR unknown command\r\n"): "this port does not speak TLS",
		"redis://" + answering(t, ""):                          "if this port expects TLS",
	} {
		client, err := Open(url, "")
		if err != nil {
			t.Fatal(err)
		}
		_, err = NewInspector(client, "").Check(t.Context(), false)
		_ = client.Close()
		if explained := Explain(err, url); err == nil || !strings.Contains(explained.Error(), want) {
			t.Errorf("%s: %v, want %q", url, explained, want)
		}
	}
	for reply, want := range map[string]string{
		"LOADING Redis is loading the dataset in memory": "Redis is loading its data",
		"ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?": "but Redis has none",
	} {
		client := redis.NewClient(&redis.Options{Addr: answering(t, "-"+reply+"\r\n"), MaxRetries: -1, DisableIdentity: true, Protocol: 2})
		err := client.Ping(t.Context()).Err()
		_ = client.Close()
		if explained := Explain(err, "redis://h"); err == nil || !strings.Contains(explained.Error(), want) {
			t.Errorf("%s: %v, want %q", reply, explained, want)
		}
	}
}
