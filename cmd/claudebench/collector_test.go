package main

import (
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	collectpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/claudebench/claudebench/internal/testenv"
)

// collector receives traces over OTLP, as a real collector does.
type collector struct {
	collectpb.UnimplementedTraceServiceServer
	url string

	mu      sync.Mutex
	spans   []spanSeen
	service string
	raw     []byte   // everything received
	headers []string // the Authorization headers received
}

// spanSeen is a span as received.
type spanSeen struct {
	name, trace, id, parent string
	kind                    tracepb.Span_SpanKind
	status                  tracepb.Status_StatusCode
	attributes              map[string]string
	start, end              time.Time
}

// collectHTTP starts a collector for OTLP over HTTP.
func collectHTTP(t *testing.T) *collector {
	t.Helper()
	c := &collector{}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		request := &collectpb.ExportTraceServiceRequest{}
		if err == nil {
			err = proto.Unmarshal(body, request)
		}
		if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
			t.Errorf("%s %s is not OTLP: %v", r.URL.Path, r.Header.Get("Content-Type"), err)
		}
		c.take(request, body, r.Header.Get("Authorization"))
		w.Header().Set("Content-Type", "application/x-protobuf")
	}))
	t.Cleanup(server.Close)
	c.url = server.URL
	return c
}

// collectGRPC starts a collector for OTLP over gRPC.
func collectGRPC(t *testing.T) *collector {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &collector{url: "http://" + listener.Addr().String()}
	server := grpc.NewServer()
	collectpb.RegisterTraceServiceServer(server, c)
	ended := make(chan error, 1)
	go func() { ended <- server.Serve(listener) }()
	t.Cleanup(func() {
		server.Stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	return c
}

func (c *collector) Export(_ context.Context, r *collectpb.ExportTraceServiceRequest) (*collectpb.ExportTraceServiceResponse, error) {
	c.take(r, nil, "")
	return &collectpb.ExportTraceServiceResponse{}, nil
}

func (c *collector) take(r *collectpb.ExportTraceServiceRequest, raw []byte, authorization string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.raw, c.headers = append(c.raw, raw...), append(c.headers, authorization)
	for _, resource := range r.ResourceSpans {
		c.service = attributes(resource.Resource.Attributes)["service.name"]
		for _, scope := range resource.ScopeSpans {
			for _, s := range scope.Spans {
				c.spans = append(c.spans, spanSeen{
					name: s.Name, trace: hex.EncodeToString(s.TraceId), id: hex.EncodeToString(s.SpanId), parent: hex.EncodeToString(s.ParentSpanId),
					kind: s.Kind, status: s.Status.GetCode(), attributes: attributes(s.Attributes),
					start: time.Unix(0, int64(s.StartTimeUnixNano)), end: time.Unix(0, int64(s.EndTimeUnixNano)),
				})
			}
		}
	}
}

func attributes(list []*commonpb.KeyValue) map[string]string {
	all := map[string]string{}
	for _, a := range list {
		switch v := a.Value.Value.(type) {
		case *commonpb.AnyValue_StringValue:
			all[a.Key] = v.StringValue
		case *commonpb.AnyValue_IntValue:
			all[a.Key] = fmt.Sprint(v.IntValue)
		default:
			all[a.Key] = fmt.Sprintf("%v", v)
		}
	}
	return all
}

// of returns the spans of a trace.
func (c *collector) of(trace string) []spanSeen {
	c.mu.Lock()
	defer c.mu.Unlock()
	var all []spanSeen
	for _, s := range c.spans {
		if s.trace == trace {
			all = append(all, s)
		}
	}
	return all
}

// tree waits until a trace has exactly these spans. Each is given as its path from the caller's
// span, names joined with '/', as many times as it occurs.
func (c *collector) tree(t *testing.T, trace, caller string, want ...string) []spanSeen {
	t.Helper()
	slices.Sort(want)
	var spans []spanSeen
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		spans = c.of(trace)
		byID := map[string]spanSeen{}
		for _, s := range spans {
			byID[s.id] = s
		}
		var got []string
		for _, s := range spans {
			way := s.name
			for up, ok := byID[s.parent]; ok; up, ok = byID[s.parent] {
				way, s = up.name+"/"+way, up
			}
			if s.parent != caller {
				way = "?" + s.parent + "/" + way
			}
			got = append(got, way)
		}
		slices.Sort(got)
		return slices.Equal(got, want), fmt.Sprintf("the trace is\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	})
	return spans
}

// named returns the only span with a name.
func named(t *testing.T, spans []spanSeen, name string) spanSeen {
	t.Helper()
	var found []spanSeen
	for _, s := range spans {
		if s.name == name {
			found = append(found, s)
		}
	}
	if len(found) != 1 {
		t.Fatalf("%d spans %s in %+v", len(found), name, spans)
	}
	return found[0]
}

// has checks that a span has at least these attributes.
func (s spanSeen) has(t *testing.T, want map[string]string) {
	t.Helper()
	for key, value := range want {
		if s.attributes[key] != value {
			t.Errorf("%s has %s=%q, not %q; all: %v", s.name, key, s.attributes[key], value, slices.Sorted(maps.Keys(s.attributes)))
		}
	}
}
