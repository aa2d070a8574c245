// Package tracing sets up OpenTelemetry traces. OpenTelemetry's own environment variables configure
// it (https://opentelemetry.io/docs/specs/otel/configuration/sdk-environment-variables/); there are
// no flags. cmd/claudebench calls it and passes the provider to the commands and the projections,
// which make the spans.
//
// Traces are off unless a variable enables them. An invalid variable stops startup. A collector
// that is unavailable, slow or rejects spans delays nobody: spans wait in a bounded queue and are
// dropped when it is full. The log says once that spans are lost, and once that they arrive again.
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

// service is the default service name. OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES replace it.
const service = "claudebench"

// stopPatience is how long Stop waits for the collector to accept the last spans.
const stopPatience = 5 * time.Second

// Traces sends spans to a collector. It does nothing if traces are off.
type Traces struct {
	provider *sdk.TracerProvider // nil when off
	exporter *exporter
	log      *slog.Logger
}

// Start reads the variables and sets up the exporter. It does not wait for the collector. version
// is the program's version. An error names the invalid variable.
func Start(ctx context.Context, version string, log *slog.Logger) (*Traces, error) {
	protocol, err := readVariables(os.Getenv, os.Environ())
	if err != nil || protocol == "" {
		return &Traces{}, err
	}
	about, err := resource.New(ctx,
		resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(version), semconv.ServiceInstanceID(rand.Text())),
		resource.WithFromEnv(), // last, because it has precedence
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
	// The SDK reads the variables of the sampler, the queue and the limits itself.
	t.provider = sdk.NewTracerProvider(sdk.WithBatcher(t.exporter), sdk.WithResource(about))
	name, _ := about.Set().Value(semconv.ServiceNameKey)
	log.InfoContext(ctx, "traces are on", "protocol", protocol, "service", name.AsString())
	return t, nil
}

// Provider returns the provider that makes spans, or nil if traces are off.
func (t *Traces) Provider() trace.TracerProvider {
	if t.provider == nil {
		return nil
	}
	return t.provider
}

// Stop sends the remaining spans. It gives up after five seconds.
func (t *Traces) Stop(ctx context.Context) {
	if t.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	if err := t.provider.Shutdown(ctx); err != nil {
		t.log.WarnContext(ctx, "cannot send the last traces", "error", err)
	}
	// End an export that is still running. The provider stops the exporter only after it.
	_ = t.exporter.Shutdown(ctx)
}
