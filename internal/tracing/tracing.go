// Package tracing sets OpenTelemetry traces up, by OpenTelemetry's own environment variables alone
// (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/): there are no
// flags for them. Its caller is cmd/claudebench, which hands the provider down to what makes spans,
// the commands and the projections.
//
// Traces are off unless a variable asks for them. A variable that cannot be meant stops the start.
// A collector that is away, slow or refuses hinders nobody: spans wait in a queue of bounded length
// and are dropped when it is full, and the log says once that they are lost and once that they
// arrive again.
package tracing

import (
	"context"
	"crypto/rand"
	"fmt"
	"log/slog"
	"os"
	"time"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// service is the service's name, unless OTEL_SERVICE_NAME or OTEL_RESOURCE_ATTRIBUTES say another.
const service = "claudebench"

// stopPatience is how long Stop waits for the collector to take the last spans.
const stopPatience = 5 * time.Second

// Traces sends spans to a collector, or does nothing where traces are off.
type Traces struct {
	provider *sdk.TracerProvider // nil when off
	exporter *exporter
	log      *slog.Logger
}

// Start reads the variables and makes what they ask for; it does not wait for the collector.
// version is the program's. An error names the variable that is wrong.
func Start(ctx context.Context, version string, log *slog.Logger) (*Traces, error) {
	protocol, err := readVariables(os.Getenv, os.Environ())
	if err != nil || protocol == "" {
		return &Traces{}, err
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(version), semconv.ServiceInstanceID(rand.Text())),
		resource.WithFromEnv(), // what it says has precedence, so it comes last
	)
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	client := otlptracehttp.NewClient()
	if protocol == protocolGRPC {
		client = otlptracegrpc.NewClient()
	}
	sender, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, fmt.Errorf("traces to OTEL_EXPORTER_OTLP_ENDPOINT: %w", err)
	}
	t := &Traces{exporter: &exporter{SpanExporter: sender, log: log}, log: log}
	// Sampler, queue and limits are the SDK's, which reads their variables itself.
	t.provider = sdk.NewTracerProvider(sdk.WithBatcher(t.exporter), sdk.WithResource(about))
	name, _ := about.Set().Value(semconv.ServiceNameKey)
	log.InfoContext(ctx, "traces are on", "protocol", protocol, "service", name.AsString())
	return t, nil
}

// Provider is what makes spans; nil when traces are off.
func (t *Traces) Provider() trace.TracerProvider {
	if t.provider == nil {
		return nil
	}
	return t.provider
}

// Stop sends what is left, and gives up after five seconds.
func (t *Traces) Stop(ctx context.Context) {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.WarnContext(ctx, "the last traces could not be sent", "error", err)
	}
	// Ends an export that is still under way. The provider stops the exporter only after it.
	_ = t.exporter.Shutdown(ctx)
}
