package server

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/testenv"
)

// connect opens a connection whose reads time out. It is closed when the test ends.
func connect(t *testing.T, addr string) net.Conn {
	t.Helper()
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	if err := conn.SetDeadline(time.Now().Add(30 * time.Second)); err != nil {
		t.Fatal(err)
	}
	return conn
}

// Callers with an incomplete request do not delay the stop.
func TestAStopDropsWhatWasNotSentWhole(t *testing.T) {
	t.Parallel()
	for _, secure := range []bool{false, true} {
		t.Run(fmt.Sprint("TLS ", secure), func(t *testing.T) {
			t.Parallel()
			s, err := Start(t.Context(), settings(t, func(cfg *config.Config) {
				if secure {
					dir := t.TempDir()
					cfg.TLSCert, cfg.TLSKey = filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
					selfSigned(t, cfg.TLSCert, cfg.TLSKey)
				}
			}), Options{Logger: quiet})
			if err != nil {
				t.Fatal(err)
			}
			const header = "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
			host := strings.Replace(header, "localhost", s.Addr(), 1)
			sent := map[string]string{"nothing": "", "half a header": host}
			if !secure {
				sent["half a body"] = host + "Content-Length: 100\r\n\r\n{"
				sent["half a body in chunks"] = host + "Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n"
				sent["a body to be refused"] = strings.Replace(host, "json", "xml", 1) + "Content-Length: 300000\r\n\r\n{"
				sent["a whole request, and half of the next"] = "GET /healthz HTTP/1.1\r\nHost: " + s.Addr() + "\r\n\r\n" + host
			}
			conns := map[string]net.Conn{}
			for name, text := range sent {
				conns[name] = connect(t, s.Addr())
				if _, err := io.WriteString(conns[name], text); err != nil {
					t.Fatal(err)
				}
			}
			if !secure {
				// This one is certainly in its handler, which waits for the body.
				reading := connect(t, s.Addr())
				if _, err := io.WriteString(reading, host+"Content-Length: 100\r\nExpect: 100-continue\r\n\r\n"); err != nil {
					t.Fatal(err)
				}
				if response, err := bufio.NewReader(reading).ReadString('\n'); err != nil || !strings.Contains(response, "100 Continue") {
					t.Fatalf("%q, %v", response, err)
				}
				conns["a body that was asked for"] = reading
			}
			began := time.Now()
			if err := s.Stop(context.Background()); err != nil {
				t.Errorf("the stop failed: %v", err)
			}
			if took := time.Since(began); took > 4*time.Second {
				t.Errorf("the stop took %v", took)
			}
			for name, conn := range conns {
				if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
					t.Errorf("%s: the connection is still open", name)
				}
			}
		})
	}
}

// A complete request is answered during a stop, however long it takes.
func TestAStopKeepsWhatIsInWork(t *testing.T) {
	t.Parallel()
	working, release := make(chan struct{}), make(chan struct{})
	var c connections
	server := &http.Server{ReadHeaderTimeout: time.Minute, Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, _ := io.ReadAll(r.Body)
		close(working)
		<-release
		_, _ = w.Write(text)
	})}
	c.watch(server)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	conn := connect(t, listener.Addr().String())
	if _, err := io.WriteString(conn, "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\nwhole"); err != nil {
		t.Fatal(err)
	}
	<-working
	stopped := make(chan error, 1)
	go func() { stopped <- server.Shutdown(context.WithoutCancel(t.Context())) }()
	if err := <-served; !errors.Is(err, http.ErrServerClosed) {
		t.Fatal(err)
	}
	c.drop()
	close(release)
	response, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if text, err := io.ReadAll(response.Body); err != nil || string(text) != "whole" {
		t.Errorf("it is answered %q, %v", text, err)
	}
	if err := <-stopped; err != nil {
		t.Error(err)
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		c.mu.Lock()
		defer c.mu.Unlock()
		return len(c.open) == 0, fmt.Sprintf("%d connections are kept", len(c.open))
	})
}
