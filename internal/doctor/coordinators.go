package doctor

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"time"
)

// checkCoordinators lists the coordinators that run, by their versions.
func checkCoordinators(ctx context.Context, e *exam) []Finding {
	alive, err := e.alive(ctx)
	if err != nil {
		return []Finding{e.unread("the coordinators", err)}
	}
	versions, err := e.Redis.HGetAll(ctx, e.Keys.Versions()).Result()
	if err != nil {
		return []Finding{e.unread("the versions of the coordinators", err)}
	}
	return []Finding{judgeCoordinators(alive, versions, e.Program)}
}

// judgeCoordinators judges the coordinators by their names, and the versions that they told. program
// is the version of doctor.
func judgeCoordinators(alive []string, versions map[string]string, program string) Finding {
	if len(alive) == 0 {
		return Finding{
			Level: Fail, Text: "no coordinator runs", Do: "start one with 'claudebench serve'; meanwhile the fleet does nothing",
		}
	}
	const earlier = "an earlier version"
	count := map[string]int64{}
	for _, name := range alive {
		version := versions[name]
		if version == "" {
			version = earlier
		}
		count[version]++
	}
	var parts []string
	for _, version := range slices.Sorted(maps.Keys(count)) {
		parts = append(parts, fmt.Sprintf("%d of %s", count[version], version))
	}
	f := ok("%s: %s", amount(int64(len(alive)), "coordinator"), strings.Join(parts, ", "))
	switch {
	case len(count) > 1:
		f.Level = Warn
		f.Do = "replace the older ones soon, and do not use new features before (docs/operations.md, Upgrading)"
	case count[program] == 0:
		f.Text += "; doctor is of " + program
	}
	return f
}

// response is what a coordinator returns for /readyz.
type response struct {
	status int
	body   []byte
	leaf   *x509.Certificate // nil without TLS
}

// readReady requests /readyz. With an error because of the certificate, the response has the
// certificate.
func (e *exam) readReady(ctx context.Context) (r response, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.Coordinator.URL()+"/readyz", nil)
	if err != nil {
		return r, err
	}
	answer, err := e.Coordinator.Do(request)
	if err != nil {
		var untrusted *tls.CertificateVerificationError
		if errors.As(err, &untrusted) && len(untrusted.UnverifiedCertificates) > 0 {
			r.leaf = untrusted.UnverifiedCertificates[0]
		}
		return r, err
	}
	defer func() { _ = answer.Body.Close() }()
	if answer.TLS != nil && len(answer.TLS.PeerCertificates) > 0 {
		r.leaf = answer.TLS.PeerCertificates[0]
	}
	r.status = answer.StatusCode
	r.body, err = io.ReadAll(io.LimitReader(answer.Body, 1<<20))
	return r, err
}

// checkCoordinator checks what one coordinator says of itself.
func checkCoordinator(_ context.Context, e *exam) []Finding {
	if e.Coordinator == nil {
		return []Finding{skipped("no --url was given")}
	}
	r, err := e.ready()
	if err != nil {
		return []Finding{{
			Level: Fail, Text: fmt.Sprintf("the coordinator at %s does not reply: %v", e.Coordinator.URL(), err),
			Do: "start it, or correct --url; if its certificate is of a private CA, pass the CA's file with --ca",
		}}
	}
	return judgeReady(e.Coordinator.URL(), r)
}

func judgeReady(url string, r response) (list []Finding) {
	var answer struct {
		Ready   bool     `json:"ready"`
		Redis   string   `json:"redis"` // left out for a caller without a token
		Reasons []string `json:"reasons"`
	}
	if err := json.Unmarshal(r.body, &answer); err != nil || r.status != http.StatusOK && r.status != http.StatusServiceUnavailable {
		return []Finding{{Level: Fail, Text: fmt.Sprintf("%s returned status %d, which a coordinator never does", url, r.status), Do: "correct --url"}}
	}
	level := Warn
	if !answer.Ready {
		level = Fail
		if len(answer.Reasons) == 0 {
			return []Finding{{Level: Fail, Text: "the coordinator at " + url + " is not ready", Do: "set CB_TOKEN to see the reasons"}}
		}
	}
	for _, reason := range answer.Reasons {
		list = append(list, Finding{Level: level, Text: "the coordinator at " + url + " says: " + reason, Do: "its log says more"})
	}
	switch {
	case len(list) > 0:
	case answer.Redis == "":
		list = append(list, Finding{
			Level: Unknown, Text: "the coordinator at " + url + " is ready, but says nothing more to a caller without a token", Do: "set CB_TOKEN to a token of this fleet",
		})
	default:
		list = append(list, ok("the coordinator at %s is ready", url))
	}
	return list
}

// How long a certificate lasts from which on it warns and fails. Programs that renew certificates do
// so a month before their end.
const (
	renewSoon = 21 * 24 * time.Hour
	renewNow  = 3 * 24 * time.Hour
)

// checkCertificate checks the certificate of the coordinator's URL.
func checkCertificate(_ context.Context, e *exam) []Finding {
	if e.Coordinator == nil || !strings.HasPrefix(e.Coordinator.URL(), "https://") {
		return []Finding{skipped("no --url with https:// was given")}
	}
	r, err := e.ready()
	if r.leaf == nil {
		return []Finding{e.unread("the certificate of "+e.Coordinator.URL(), err)}
	}
	var untrusted *tls.CertificateVerificationError
	errors.As(err, &untrusted)
	return judgeCertificate(r.leaf.NotAfter, time.Now(), untrusted)
}

// judgeCertificate judges a certificate by its end, and by why it is not trusted, nil if it is.
func judgeCertificate(until, now time.Time, untrusted *tls.CertificateVerificationError) []Finding {
	left := until.Sub(now)
	const renew = "renew it, and send SIGHUP to the coordinators (or restart the proxy that has it)"
	day := until.UTC().Format(time.DateOnly)
	switch {
	case left <= 0:
		return []Finding{{Level: Fail, Text: "the certificate ended on " + day, Do: renew}}
	case untrusted != nil:
		return []Finding{{
			Level: Fail, Text: fmt.Sprintf("the certificate is not trusted: %v", untrusted.Err),
			Do: "use a host name that the certificate contains, and pass a private CA with --ca",
		}}
	case left < renewNow:
		return []Finding{{Level: Fail, Text: fmt.Sprintf("the certificate ends in %s, on %s", span(left), day), Do: renew}}
	case left < renewSoon:
		return []Finding{{Level: Warn, Text: fmt.Sprintf("the certificate ends in %s, on %s", span(left), day), Do: renew}}
	}
	return []Finding{ok("the certificate lasts for %s, until %s", span(left), day)}
}
