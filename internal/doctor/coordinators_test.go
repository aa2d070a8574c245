package doctor

import (
	"crypto/tls"
	"encoding/pem"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/fleet"
	"github.com/claudebench/claudebench/lua"
)

func TestCoordinators(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.Program = "v1"
	p.expect("coordinators", Fail, "no coordinator runs")
	join := func(program string) {
		t.Helper()
		cfg := &config.Config{InstanceTTL: time.Second, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10}
		member := fleet.New(lua.NewRunner(p.redis).On(p.Keys.Log()), program, cfg, slog.New(slog.DiscardHandler))
		if err := member.Join(t.Context(), false); err != nil {
			t.Fatal(err)
		}
	}
	join("v1")
	join("v1")
	p.expect("coordinators", OK, "2 coordinators: 2 of v1")
	p.Program = "v2"
	p.expect("coordinators", OK, "doctor is of v2")
	join("v2")
	p.expect("coordinators", Warn, "3 coordinators: 2 of v1, 1 of v2")
	// A coordinator that was killed goes from both lists when another one renews.
	all, err := p.redis.HGetAll(t.Context(), p.Keys.Versions()).Result()
	if err != nil {
		t.Fatal(err)
	}
	for name, version := range all {
		if version == "v2" {
			p.do("ZADD", p.Keys.Coordinators(), p.now.Add(-time.Hour).UnixMilli(), name)
		}
	}
	join("v1")
	p.expect("coordinators", OK, "3 coordinators: 3 of v1")
	if n, err := p.redis.HLen(t.Context(), p.Keys.Versions()).Result(); err != nil || n != 3 {
		t.Errorf("%d versions are stored, %v", n, err)
	}
	p.do("ZADD", p.Keys.Coordinators(), p.now.UnixMilli(), "old")
	p.expect("coordinators", Warn, "1 of an earlier version")
	p.Redis = never(t)
	p.expect("coordinators", Unknown, "does not reply")
}

// coordinator returns a client of a coordinator that answers /readyz.
func coordinator(t *testing.T, server *httptest.Server, options ...client.Option) *client.Client {
	t.Helper()
	t.Cleanup(server.Close)
	c, err := client.New(server.URL, "", options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func answering(status int, body string) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	})
}

func TestCoordinator(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("coordinator", Skipped, "no --url")
	for body, want := range map[string]struct {
		status int
		level  Level
		text   string
	}{
		`{"ready":true,"redis":"ok"}`: {200, OK, "is ready"},
		`{"ready":true}`:              {200, Unknown, "without a token"},
		`{"ready":true,"degraded":true,"redis":"ok","reasons":["the view is behind"]}`: {200, Warn, "says: the view is behind"},
		`{"ready":false,"redis":"unavailable","reasons":["Redis is unavailable"]}`:     {503, Fail, "says: Redis is unavailable"},
		`{"ready":false}`:                   {503, Fail, "is not ready"},
		`<html>`:                            {200, Fail, "which a coordinator never does"},
		`{"ready":true,"redis":"ok","x":1}`: {404, Fail, "status 404"},
	} {
		p.Coordinator = coordinator(t, httptest.NewServer(answering(want.status, body)))
		p.expect("coordinator", want.level, want.text)
	}
	gone := httptest.NewServer(http.NotFoundHandler())
	p.Coordinator = coordinator(t, gone)
	gone.Close()
	p.expect("coordinator", Fail, "does not reply")
}

func TestCertificate(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("certificate", Skipped, "no --url with https://")
	p.Coordinator = coordinator(t, httptest.NewServer(answering(200, "{}")))
	p.expect("certificate", Skipped, "no --url with https://")
	server := httptest.NewUnstartedServer(answering(200, `{"ready":true,"redis":"ok"}`))
	server.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	server.StartTLS()
	p.Coordinator = coordinator(t, server)
	p.expect("certificate", Fail, "the certificate is not trusted: x509")
	p.expect("coordinator", Fail, "does not reply")
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pemOf(server), 0o600); err != nil {
		t.Fatal(err)
	}
	p.Coordinator = coordinator(t, server, client.WithCA(ca))
	p.expect("certificate", OK, "until 2084-01-29") // as net/http/httptest has it
	p.expect("coordinator", OK, "is ready")
	server.Close()
	p.expect("certificate", Unknown, "does not reply")

	now := time.Date(2026, 11, 1, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		left time.Duration
		want Level
		text string
	}{
		{-time.Hour, Fail, "ended on 2026-11-01"},
		{48 * time.Hour, Fail, "ends in 2 days, on 2026-11-03"},
		{10 * 24 * time.Hour, Warn, "ends in 10 days, on 2026-11-11"},
		{60 * 24 * time.Hour, OK, "lasts for 60 days, until 2026-12-31"},
	} {
		expect(t, judgeCertificate(now.Add(c.left), now, nil), c.want, c.text)
	}
	expect(t, judgeCertificate(now.Add(1000*time.Hour), now, &tls.CertificateVerificationError{Err: errors.New("wrong name")}), Fail, "wrong name")
}

func TestTokens(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("tokens", Skipped, "no --auth-file")
	p.AuthFile = filepath.Join(t.TempDir(), "auth.yaml")
	p.expect("tokens", Fail, "no such file")
	for text, want := range map[string]Level{
		"[]\n": Fail,
		"- {name: ci, roles: [agent], token: 'sha256:" + strings.Repeat("0a", 32) + "'}\n": OK,
		"tokens: 7\n": Fail,
	} {
		if err := os.WriteFile(p.AuthFile, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		p.expect("tokens", want, "")
	}
}

func TestDisk(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	p.expect("disk", Skipped, "no folder is known")
	p.Folders = []string{t.TempDir(), "/no/such/folder"}
	found := p.check("disk")
	if len(found) != 2 || !strings.Contains(found[0].Text, " free, ") || found[1].Level != Unknown {
		t.Errorf("%+v", found)
	}
	for free, want := range map[uint64]Level{50: OK, 8: Warn, 3: Fail} {
		expect(t, []Finding{judgeDisk("/d", free<<30, 100<<30)}, want, size(int64(free<<30))+" free")
	}
}

// pemOf returns the certificate of a server as a PEM file has it.
func pemOf(server *httptest.Server) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
}
