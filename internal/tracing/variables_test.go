package tracing

import (
	"maps"
	"slices"
	"strings"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func TestVariables(t *testing.T) {
	t.Parallel()
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT"
	here := map[string]string{endpoint: "http://localhost:4318"}
	for name, c := range map[string]struct {
		set      map[string]string
		alone    bool   // without an endpoint
		protocol string // "" if off
		refused  string // part of the error
	}{
		"nothing":                {alone: true},
		"a name only":            {set: map[string]string{"OTEL_SERVICE_NAME": "x"}, alone: true},
		"an exporter":            {set: map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, alone: true, protocol: "http/protobuf"},
		"an endpoint":            {protocol: "http/protobuf"},
		"an endpoint for traces": {set: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "https://a/b"}, alone: true, protocol: "http/protobuf"},
		"none":                   {set: map[string]string{"OTEL_TRACES_EXPORTER": "none"}},
		"disabled":               {set: map[string]string{"OTEL_SDK_DISABLED": "TRUE", "OTEL_TRACES_EXPORTER": "otlp"}},
		"not disabled":           {set: map[string]string{"OTEL_SDK_DISABLED": "false"}, protocol: "http/protobuf"},
		"disabled somehow":       {set: map[string]string{"OTEL_SDK_DISABLED": "yes"}, refused: "OTEL_SDK_DISABLED must be true or false"},
		"another exporter":       {set: map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, refused: `OTEL_TRACES_EXPORTER must be otlp or none, but is "zipkin"`},
		"grpc":                   {set: map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", endpoint: "dns:///collector:4317"}, protocol: "grpc"},
		"json for traces": {
			set:      map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "grpc", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "http/json"},
			protocol: "http/json",
		},
		"another protocol": {set: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL": "udp"}, refused: "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL must be"},
		"no URL":           {set: map[string]string{endpoint: "sesame:4318"}, refused: endpoint + " must be a URL"},
		"no host":          {set: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT": "http://"}, refused: "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT must be a URL"},
		"a URL for gRPC":   {set: map[string]string{endpoint: "http://sesame:%zz", "OTEL_EXPORTER_OTLP_PROTOCOL": "grpc"}, refused: endpoint + " must be a URL"},
		"headers":          {set: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "a=b, c=d%20e=="}, protocol: "http/protobuf"},
		"headers without value": {
			set: map[string]string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS": "a=b,sesame"}, refused: "OTEL_EXPORTER_OTLP_TRACES_HEADERS must be of the form",
		},
		"headers without name": {set: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "=sesame"}, refused: "OTEL_EXPORTER_OTLP_HEADERS must be of the form"},
		"headers that cannot be decoded": {
			set: map[string]string{"OTEL_EXPORTER_OTLP_HEADERS": "a=sesame%"}, refused: "OTEL_EXPORTER_OTLP_HEADERS must be of the form",
		},
		"a time":         {set: map[string]string{"OTEL_EXPORTER_OTLP_TIMEOUT": "5s"}, refused: "OTEL_EXPORTER_OTLP_TIMEOUT must be a whole number"},
		"a queue":        {set: map[string]string{"OTEL_BSP_MAX_QUEUE_SIZE": "0"}, refused: "OTEL_BSP_MAX_QUEUE_SIZE must be a whole number"},
		"a sampler":      {set: map[string]string{"OTEL_TRACES_SAMPLER": "ParentBased_TraceIDRatio", "OTEL_TRACES_SAMPLER_ARG": "0.25"}, protocol: "http/protobuf"},
		"no sampler":     {set: map[string]string{"OTEL_TRACES_SAMPLER": "jaeger_remote"}, refused: "OTEL_TRACES_SAMPLER must be"},
		"above all":      {set: map[string]string{"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "25"}, refused: "OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1"},
		"compression":    {set: map[string]string{"OTEL_EXPORTER_OTLP_COMPRESSION": "zip"}, refused: "OTEL_EXPORTER_OTLP_COMPRESSION must be gzip or none"},
		"insecure":       {set: map[string]string{"OTEL_EXPORTER_OTLP_INSECURE": "yes"}, refused: "OTEL_EXPORTER_OTLP_INSECURE must be true or false"},
		"no certificate": {set: map[string]string{"OTEL_EXPORTER_OTLP_CERTIFICATE": "/nowhere/ca.pem"}, refused: "OTEL_EXPORTER_OTLP_CERTIFICATE: open /nowhere/ca.pem"},
		"a limit":        {set: map[string]string{"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, refused: "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT must be a whole number"},
		"misspelt": {
			set: map[string]string{"OTEL_EXPORTER_OLTP_ENDPOINT": "sesame"}, alone: true,
			refused: "environment variable OTEL_EXPORTER_OLTP_ENDPOINT is not a setting of this program; did you mean OTEL_EXPORTER_OTLP_ENDPOINT?",
		},
		"another's":      {set: map[string]string{"OTEL_BLRP_SCHEDULE_DELAY": "x", "OTEL_PYTHON_LOG_LEVEL": "y", "OTEL_METRICS_EXPORTER": "z"}, alone: true},
		"unused, though": {set: map[string]string{"OTEL_TRACES_SAMPLER": "always_on", "OTEL_TRACES_SAMPLER_ARG": "25"}, protocol: "http/protobuf"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			variables := map[string]string{}
			if !c.alone {
				maps.Copy(variables, here)
			}
			maps.Copy(variables, c.set)
			protocol, err := readVariables(func(name string) string { return variables[name] }, slices.Collect(maps.Keys(variables)))
			switch {
			case c.refused == "" && (err != nil || protocol != c.protocol):
				t.Errorf("protocol %q, %v; want %q", protocol, err, c.protocol)
			case c.refused != "" && (err == nil || !strings.HasPrefix(err.Error(), c.refused) || strings.Contains(err.Error(), "sesame")):
				t.Errorf("%v; want %s", err, c.refused)
			}
		})
	}
}
