package metrics

import (
	"github.com/prometheus/client_golang/prometheus"

	"github.com/claudebench/claudebench/internal/archiver"
)

var (
	archiveSeq = prometheus.NewDesc("claudebench_archive_last_seq",
		"Seq of the last event on the archive's disk; only at the coordinator that archives.", nil, nil)
	archiveBytes = prometheus.NewDesc("claudebench_archive_bytes",
		"Size of the archive's segments; only at the coordinator that archives.", nil, nil)
	archiveLease   = prometheus.NewDesc("claudebench_archive_lease_held", "1 while this coordinator archives the log.", nil, nil)
	archiveFailing = prometheus.NewDesc("claudebench_archive_failing",
		"1 while an error stops this coordinator from archiving the log.", nil, nil)
)

// archiveCollector collects the state of the archive.
type archiveCollector struct{ status func() archiver.Status }

func (c archiveCollector) Describe(to chan<- *prometheus.Desc) {
	describe(to, archiveSeq, archiveBytes, archiveLease, archiveFailing)
}

func (c archiveCollector) Collect(to chan<- prometheus.Metric) {
	s := c.status()
	to <- gauge(archiveLease, flag(s.Holder))
	to <- gauge(archiveFailing, flag(s.Failing != ""))
	if s.Holder {
		to <- gauge(archiveSeq, float64(s.Last.Seq))
		to <- gauge(archiveBytes, float64(s.Bytes))
	}
}
