package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

var (
	sealHolder = prometheus.NewDesc("claudebench_seal_lease_held",
		"1 while this coordinator seals the log.", nil, nil)
	sealFailing = prometheus.NewDesc("claudebench_seal_failing",
		"1 while something keeps this coordinator from sealing the log.", nil, nil)
	sealErrors = prometheus.NewDesc("claudebench_seal_errors_total",
		"Attempts to seal that failed at this coordinator, by where.", []string{"at"}, nil)
	sealCommit = prometheus.NewDesc("claudebench_seal_commit_seconds",
		"Duration of the last checkpoint that this coordinator has published, with its tiles.", nil, nil)
	sealSize = prometheus.NewDesc("claudebench_seal_size",
		"Leaves in the last signed checkpoint.", nil, nil)
	sealedSeq = prometheus.NewDesc("claudebench_seal_sealed_seq",
		"The seq of the last sealed event.", nil, nil)
	sealLag = prometheus.NewDesc("claudebench_seal_lag_events",
		"Events of the log that are not sealed yet.", nil, nil)
	sealAge = prometheus.NewDesc("claudebench_seal_lag_seconds",
		"Age of the first event that is not sealed yet.", nil, nil)
	sealStopped = prometheus.NewDesc("claudebench_seal_stopped",
		"1 if sealing has stopped for good, because the log was rolled back.", nil, nil)
)

// Seals is how far the log is sealed.
type Seals struct {
	Holder, Failing bool
	Failures        map[string]int64 // by where
	CommitTook      time.Duration
	// Known is set if Redis replied. The fields below are then known.
	Known   bool
	Size    int64
	Seq     int64 // of the last sealed event
	Lag     int64 // events
	Age     time.Duration
	Stopped bool
}

// sealTimeout bounds the question to Redis.
const sealTimeout = time.Second

// sealCollector collects how far the log is sealed.
type sealCollector struct {
	read func(context.Context) Seals
}

func (c sealCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, sealHolder, sealFailing, sealErrors, sealCommit, sealSize, sealedSeq, sealLag, sealAge, sealStopped)
}

func (c sealCollector) Collect(to chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), sealTimeout)
	defer cancel()
	s := c.read(ctx)
	to <- gauge(sealHolder, flag(s.Holder))
	to <- gauge(sealFailing, flag(s.Failing))
	for at, n := range s.Failures {
		to <- counter(sealErrors, float64(n), at)
	}
	to <- gauge(sealCommit, s.CommitTook.Seconds())
	if !s.Known {
		return
	}
	to <- gauge(sealSize, float64(s.Size))
	to <- gauge(sealedSeq, float64(s.Seq))
	to <- gauge(sealLag, float64(s.Lag))
	to <- gauge(sealAge, s.Age.Seconds())
	to <- gauge(sealStopped, flag(s.Stopped))
}
