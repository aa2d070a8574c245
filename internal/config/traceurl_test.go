package config

import (
	"strings"
	"testing"
	"time"
)

func TestTraceURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"":                                     "",
		"https://jaeger.example/trace/{trace}": "",
		"http://[::1]:16686/trace/{trace}?uiEmbed=v0#x":                        "",
		"https://grafana.example/explore?left=%7B%22query%22:%22{trace}%22%7D": "",
		"https://jaeger.example/trace/":                                        "{trace} once",
		"https://jaeger.example/{trace}/{trace}":                               "{trace} once",
		"javascript:alert('{trace}')":                                          "http://",
		"//jaeger.example/{trace}":                                             "http://",
		"data:text/html,{trace}":                                               "http://",
		"https:///{trace}":                                                     "host",
		"https://{trace}/":                                                     "host",
		"https://me:secret@jaeger.example/{trace}":                             "password",
		"https://jaeger.example/{trace} \"x":                                   "not allowed",
		"https://jaeger.example/%zz{trace}":                                    "not a URL",
	} {
		cfg := &Config{Listen: "127.0.0.1:0", InstanceTTL: time.Second, MonitorInterval: time.Second, TaskRetention: time.Second, MaxLosses: 10, TraceURL: url}
		err := cfg.Check()
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "--trace-url")) {
			t.Errorf("%q: %v, want %q", url, err, want)
		}
	}
}
