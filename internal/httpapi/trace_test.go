package httpapi

import (
	"net/http"
	"testing"
)

// Requests without a traceparent pay nothing for tracing.
func TestNoTraceparentAllocatesNothing(t *testing.T) {
	head := http.Header{"Content-Type": {"application/json"}}
	if n := testing.AllocsPerRun(100, func() {
		if traceparent(head) != "" {
			t.Error("a traceparent from nowhere")
		}
	}); n != 0 {
		t.Errorf("%v allocations, want none", n)
	}
}

func BenchmarkTraceparent(b *testing.B) {
	head := http.Header{"Traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}}
	b.ReportAllocs()
	for b.Loop() {
		if traceparent(head) == "" {
			b.Fatal("not valid")
		}
	}
}
