package commands_test

import (
	"context"
	"encoding/json"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/fleettest"
)

// tracedFleet returns a fleet that makes spans, and the recorder that keeps them.
func tracedFleet(t *testing.T, f *fleettest.Fleet) (*fleettest.Fleet, *tracetest.SpanRecorder) {
	t.Helper()
	spans := tracetest.NewSpanRecorder()
	o := f.Options
	o.Traces = sdk.NewTracerProvider(sdk.WithSpanProcessor(spans))
	traced := fleettest.New(t, f.Client, o)
	traced.Unhurried()
	return traced, spans
}

// told returns the last span with a name, and its attributes.
func told(t *testing.T, spans *tracetest.SpanRecorder, name string) (sdk.ReadOnlySpan, map[attribute.Key]string) {
	t.Helper()
	ended := spans.Ended()
	for i := len(ended) - 1; i >= 0; i-- {
		if ended[i].Name() == name {
			all := map[attribute.Key]string{}
			for _, a := range ended[i].Attributes() {
				all[a.Key] = a.Value.String()
			}
			return ended[i], all
		}
	}
	t.Fatalf("there is no span %s", name)
	return nil, nil
}

// A rejection sets its code and is no failure. A span fails only if the coordinator or the
// infrastructure failed.
func TestTraceTellsFailures(t *testing.T) {
	t.Parallel()
	plain, server := fleettest.OwnFleet(t)
	f, spans := tracedFleet(t, plain)
	if _, err := f.Do("task.get", `{"id":"t-1"}`); err == nil {
		t.Fatal("there is no such task")
	}
	parent, is := told(t, spans, "task.get")
	if parent.Status().Code != codes.Unset || is["rpc.response.status_code"] != "-32004" || is["error.type"] != "refused" {
		t.Errorf("a refusal is told as %v, %v", parent.Status(), is)
	}
	script, is := told(t, spans, "get_task")
	if script.Status().Code != codes.Unset || is["db.response.status_code"] != "NOT_FOUND" || script.Parent().SpanID() != parent.SpanContext().SpanID() {
		t.Errorf("its script is told as %v, %v", script.Status(), is)
	}
	if _, err := f.Do("task.get", `{"id":7}`); err == nil {
		t.Fatal("an id is a string")
	}
	if parent, is = told(t, spans, "task.get"); parent.Status().Code != codes.Unset || is["rpc.response.status_code"] != "-32602" {
		t.Errorf("wrong params are told as %v, %v", parent.Status(), is)
	}

	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if _, err := f.Call(ctx, api.Request{Method: "task.delete", Params: json.RawMessage(`{"id":"t-1"}`)}); err == nil {
		t.Fatal("Redis is gone")
	}
	for _, name := range []string{"task.delete", "delete_task"} {
		span, is := told(t, spans, name)
		if what := is["error.type"]; span.Status().Code != codes.Error || what != "unavailable" && what != "outcome_unknown" {
			t.Errorf("an outage is told by %s as %v, %v", name, span.Status(), is)
		}
	}

	f.Method("task.list").Run = func(context.Context, *command.Call) (json.RawMessage, error) { panic("hush-hush") }
	func() {
		defer func() { _ = recover() }()
		_, _ = f.Do("task.list", `{}`)
	}()
	span, _ := told(t, spans, "task.list")
	if status := span.Status(); status.Code != codes.Error || status.Description != "Internal error" || len(span.Events()) != 0 {
		t.Errorf("a panic is told as %v, %v", status, span.Events())
	}
}

// If traces are disabled, a call allocates nothing for them. The test is not parallel, because the
// allocations of other tests would count too.
func TestTracesThatAreOffAllocateNothing(t *testing.T) {
	f := fleettest.New(t, fleettest.RealRedis(t), commands.Options{})
	m := f.Method("task.list")
	m.Run = func(context.Context, *command.Call) (json.RawMessage, error) { return nil, nil }
	request := api.Request{Method: m.Name, Trace: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01", Received: time.Now().Add(time.Hour)}
	without := testing.AllocsPerRun(1000, func() { _, _ = f.Perform(context.Background(), m, request) })
	with := testing.AllocsPerRun(1000, func() { _, _ = f.Call(context.Background(), request) })
	if with != without {
		t.Errorf("a call allocates %v times, and what it does %v times", with, without)
	}
}

// BenchmarkTraces creates tasks with traces disabled, with a call that is not sampled, and with one
// that is.
func BenchmarkTraces(b *testing.B) {
	const trace = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-0"
	for _, is := range []struct {
		name, trace string
		on          bool
	}{{"off", trace + "1", false}, {"unsampled", trace + "0", true}, {"sampled", trace + "1", true}} {
		b.Run(is.name, func(b *testing.B) {
			o := commands.Options{}
			if is.on {
				provider := sdk.NewTracerProvider(sdk.WithBatcher(tracetest.NewNoopExporter()))
				b.Cleanup(func() { _ = provider.Shutdown(context.Background()) })
				o.Traces = provider
			}
			f := fleettest.New(b, fleettest.RealRedis(b), o)
			request := api.Request{Method: "task.create", Params: json.RawMessage(`{"text":"x"}`), Addr: "192.0.2.1", Trace: is.trace}
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := f.Call(context.Background(), request); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
