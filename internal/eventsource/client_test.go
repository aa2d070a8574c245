package eventsource

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/cloudevents"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/stream"
)

const (
	patience = 20 * time.Second
	example  = `{"id":"t-1"}`
)

var quiet = slog.New(slog.DiscardHandler)

// serveLog serves the streams of a log.
func serveLog(t *testing.T, l *logtest.Log, change func(*Options)) (*stream.Hub, *httptest.Server) {
	t.Helper()
	hub, err := stream.New(stream.Options{Client: l.Client, Namespace: l.Namespace, Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(hub.Close)
	o := Options{Hub: hub, Source: cloudevents.Source("ns")}
	if change != nil {
		change(&o)
	}
	server := httptest.NewUnstartedServer(NewHandler(o))
	server.Config.ReadTimeout, server.Config.WriteTimeout = 200*time.Millisecond, 200*time.Millisecond
	server.Start()
	t.Cleanup(func() { hub.Stop(); server.Close() })
	return hub, server
}

// source reads a stream.
type source struct {
	t        *testing.T
	response *http.Response
	lines    *bufio.Reader
	lastID   string
}

// message is a block of a stream.
type message struct{ id, event, data, comment string }

func open(t *testing.T, url string, change func(*http.Request)) *source {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	t.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(request)
	}
	transport := &http.Transport{DisableCompression: true}
	t.Cleanup(transport.CloseIdleConnections)
	response, err := transport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = response.Body.Close() })
	return &source{t: t, response: response, lines: bufio.NewReader(response.Body)}
}

// next returns the next block, as written. It fails the test at the end of the stream.
func (s *source) next() message {
	s.t.Helper()
	m, err := s.read()
	if err != nil {
		s.t.Fatalf("after %s: %v", s.lastID, err)
	}
	return m
}

func (s *source) read() (m message, err error) {
	for {
		line, err := s.lines.ReadString('\n')
		if err != nil {
			return m, err
		}
		line = strings.TrimSuffix(line, "\n")
		name, value, _ := strings.Cut(line, ": ")
		switch {
		case line == "":
			return m, nil
		case name == "" || strings.HasPrefix(line, ":"):
			m.comment = strings.TrimPrefix(line, ": ")
		case name == "id":
			m.id, s.lastID = value, value
		case name == "event":
			m.event = value
		case name == "data" && m.data == "":
			m.data = value
		case line == "retry: 1000":
		default:
			return m, fmt.Errorf("unexpected line %q", line)
		}
	}
}

// begins checks the headers and the first block.
func (s *source) begins() message {
	s.t.Helper()
	if s.response.StatusCode != http.StatusOK {
		text, _ := io.ReadAll(s.response.Body)
		s.t.Fatalf("status %d: %s", s.response.StatusCode, text)
	}
	for name, want := range map[string]string{"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no"} {
		if got := s.response.Header.Get(name); got != want {
			s.t.Errorf("%s is %q", name, got)
		}
	}
	m := s.next()
	if m.comment != "claudebench" || m.id == "" || m.event != "" || m.data != "" {
		s.t.Errorf("it begins with %+v", m)
	}
	return m
}
