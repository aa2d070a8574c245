package tracing

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"strconv"
	"strings"
)

// OTLP protocols.
const (
	protocolGRPC = "grpc"
	protocolHTTP = "http/protobuf"
	protocolJSON = "http/json"
)

// readVariables returns the protocol of the exporter, or "" if traces are off. It rejects every
// value that the SDK would not understand. The SDK would ignore such a value and print it to
// stderr, where it may reveal a secret.
func readVariables(get func(string) string, environment []string) (protocol string, err error) {
	if err := checkNames(environment); err != nil {
		return "", err
	}
	on, err := asked(get)
	if !on || err != nil {
		return "", err
	}
	name, protocol := first(get, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
	switch protocol {
	case "":
		protocol = protocolHTTP
	case protocolHTTP, protocolJSON, protocolGRPC:
	default:
		return "", fmt.Errorf("%s must be %s, %s or %s, but is %q", name, protocolHTTP, protocolJSON, protocolGRPC, protocol)
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"} {
		if err := checkEndpoint(get(name), protocol); err != nil {
			return "", fmt.Errorf("%s %w", name, err)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS", "OTEL_EXPORTER_OTLP_HEADERS"} {
		if err := checkHeaders(get(name)); err != nil {
			return "", fmt.Errorf("%s %w", name, err)
		}
	}
	for _, name := range []string{
		"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "OTEL_EXPORTER_OTLP_TIMEOUT", "OTEL_BSP_SCHEDULE_DELAY", "OTEL_BSP_EXPORT_TIMEOUT",
		"OTEL_BSP_MAX_QUEUE_SIZE", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE",
	} {
		if n, err := strconv.Atoi(get(name)); get(name) != "" && (err != nil || n < 1) {
			return "", fmt.Errorf("%s must be a whole number above 0, but is %q", name, get(name))
		}
	}
	if err := checkTransport(get); err != nil {
		return "", err
	}
	return protocol, checkSampler(get)
}

// checkTransport checks the values that the exporters would otherwise report and ignore.
func checkTransport(get func(string) string) error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_COMPRESSION", "OTEL_EXPORTER_OTLP_COMPRESSION"} {
		if value := get(name); value != "" && value != "gzip" && value != "none" {
			return fmt.Errorf("%s must be gzip or none, but is %q", name, value)
		}
	}
	for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_INSECURE", "OTEL_EXPORTER_OTLP_INSECURE"} {
		if value := strings.ToLower(get(name)); value != "" && value != "true" && value != "false" {
			return fmt.Errorf("%s must be true or false, but is %q", name, get(name))
		}
	}
	for _, name := range heeded {
		if value := get(name); strings.HasSuffix(name, "_LIMIT") && value != "" {
			if _, err := strconv.Atoi(value); err != nil {
				return fmt.Errorf("%s must be a whole number, but is %q", name, value)
			}
		}
	}
	for _, variable := range []string{"CERTIFICATE", "CLIENT_CERTIFICATE", "CLIENT_KEY"} {
		for _, name := range []string{"OTEL_EXPORTER_OTLP_TRACES_" + variable, "OTEL_EXPORTER_OTLP_" + variable} {
			path := get(name)
			if path == "" {
				continue
			}
			if _, err := os.ReadFile(path); err != nil {
				return fmt.Errorf("%s: %w", name, err)
			}
		}
	}
	return nil
}

// asked reports whether traces are enabled. OpenTelemetry's default sends them to a collector on
// the local machine; here the default is off.
func asked(get func(string) string) (bool, error) {
	switch off := get("OTEL_SDK_DISABLED"); strings.ToLower(off) {
	case "true":
		return false, nil
	case "", "false":
	default:
		return false, fmt.Errorf("OTEL_SDK_DISABLED must be true or false, but is %q", off)
	}
	switch exporter := get("OTEL_TRACES_EXPORTER"); exporter {
	case "none":
		return false, nil
	case "otlp":
		return true, nil
	case "":
		_, endpoint := first(get, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT")
		return endpoint != "", nil
	default:
		return false, fmt.Errorf("OTEL_TRACES_EXPORTER must be otlp or none, but is %q", exporter)
	}
}

// first returns the first of several variables that is set.
func first(get func(string) string, names ...string) (name, value string) {
	for _, name = range names {
		if value = get(name); value != "" {
			return name, value
		}
	}
	return "", ""
}

// checkEndpoint returns an error for an invalid endpoint. The error does not repeat the endpoint,
// which may contain a password.
func checkEndpoint(endpoint, protocol string) error {
	if endpoint == "" {
		return nil
	}
	u, err := url.Parse(endpoint)
	if err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "" {
		return nil
	}
	if protocol == protocolGRPC && err == nil {
		return nil // any target that gRPC supports
	}
	return errors.New("must be a URL such as http://localhost:4318")
}

func checkHeaders(headers string) error {
	if headers == "" {
		return nil
	}
	for pair := range strings.SplitSeq(headers, ",") {
		name, value, ok := strings.Cut(pair, "=")
		_, err := url.PathUnescape(value)
		if name = strings.TrimSpace(name); !ok || err != nil || name == "" || strings.ContainsAny(name, " \t\"(),/:;<=>?@[\\]{}") {
			return errors.New("must be of the form name=value,name=value, with special characters in values percent-encoded")
		}
	}
	return nil
}

func checkSampler(get func(string) string) error {
	switch sampler := strings.ToLower(get("OTEL_TRACES_SAMPLER")); sampler {
	case "", "always_on", "always_off", "parentbased_always_on", "parentbased_always_off":
		return nil
	case "traceidratio", "parentbased_traceidratio":
		ratio, err := strconv.ParseFloat(get("OTEL_TRACES_SAMPLER_ARG"), 64)
		if get("OTEL_TRACES_SAMPLER_ARG") == "" || err == nil && ratio >= 0 && ratio <= 1 {
			return nil
		}
		return fmt.Errorf("OTEL_TRACES_SAMPLER_ARG must be a number from 0 to 1, but is %q", get("OTEL_TRACES_SAMPLER_ARG"))
	default:
		return fmt.Errorf("OTEL_TRACES_SAMPLER must be always_on, always_off, traceidratio or one of these after parentbased_, but is %q", sampler)
	}
}
