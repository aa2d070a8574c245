package server

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
)

// selfSigned creates a self-signed certificate for loopback.
func selfSigned(t *testing.T, certFile, keyFile string) *x509.CertPool {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "claudebench test"}, DNSNames: []string{"localhost", "fleet.example.com", "*.wild.example.com"},
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	certificate := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool.AppendCertsFromPEM(certificate)
	for file, text := range map[string][]byte{certFile: certificate, keyFile: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: private})} {
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return pool
}

// trusting returns a client that trusts a pool of authorities.
func trusting(t *testing.T, addr string, pool *x509.CertPool) *client {
	t.Helper()
	c := newClient(t, addr)
	c.url = "https://" + addr
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}, ForceAttemptHTTP2: true}
	t.Cleanup(transport.CloseIdleConnections)
	c.http.Transport = transport
	return c
}

func TestTLS(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	pool := selfSigned(t, cert, key)
	var log screen
	s := startServer(t, settings(t, func(cfg *config.Config) { cfg.TLSCert, cfg.TLSKey = cert, key }), &log)
	if want := "https://" + s.Addr(); s.URL() != want {
		t.Errorf("it is at %s, want %s", s.URL(), want)
	}
	c := trusting(t, s.Addr(), pool)
	if id := c.create(t, params{"text": "x"}); id != "t-1" {
		t.Errorf("created %s", id)
	}
	// All limits of a connection hold with TLS too, since it is HTTP/1.1 even for a client that prefers
	// HTTP/2.
	h2 := &tls.Dialer{Config: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}}}
	conn, err := h2.DialContext(t.Context(), "tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if chosen := conn.(*tls.Conn).ConnectionState().NegotiatedProtocol; chosen != "http/1.1" {
		t.Errorf("the protocol is %q", chosen)
	}
	_ = conn.Close()
	// Clients without TLS, or with a version that is too old, are rejected.
	plain := newClient(t, s.Addr())
	if status, body := plain.get(t, "/healthz"); status != http.StatusBadRequest {
		t.Errorf("over plain HTTP: %d %s", status, body)
	}
	old := &tls.Config{RootCAs: pool, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10} //nolint:gosec // that it is refused
	dialer := &tls.Dialer{Config: old}
	if conn, err := dialer.DialContext(t.Context(), "tcp", s.Addr()); err == nil {
		t.Error("TLS 1.1 is taken")
		_ = conn.Close()
	}
	// The server's own origin is https now.
	for origin, want := range map[string]int{"https://" + s.Addr(): 200, "http://" + s.Addr(): 403, "https://example.com": 403} {
		status, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.get","params":{"id":"t-1"}}`,
			func(r *http.Request) { r.Header.Set("Origin", origin) })
		if status != want {
			t.Errorf("Origin %s: %d %s", origin, status, body)
		}
	}

	// The names in the certificate are accepted besides the addresses that the server listens on.
	for host, want := range map[string]int{"fleet.example.com": 200, "fleet.example.com:8443": 200, "evil.example.com": 403, "x.wild.example.com": 403} {
		status, body := c.post(t, "/rpc", `{"jsonrpc":"2.0","id":1,"method":"task.get","params":{"id":"t-1"}}`,
			func(r *http.Request) { r.Host = host })
		if status != want {
			t.Errorf("Host %s: %d %s", host, status, body)
		}
	}

	// A new certificate is used for connections after the reload. An invalid one changes nothing.
	renewed := selfSigned(t, cert, key)
	if err := s.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := trusting(t, s.Addr(), pool).ask("task.get", params{"id": "t-1"}); err == nil {
		t.Error("the old certificate is still served")
	}
	if _, err := trusting(t, s.Addr(), renewed).ask("task.get", params{"id": "t-1"}); err != nil {
		t.Errorf("the new certificate: %v", err)
	}
	if err := os.WriteFile(key, []byte("no key"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := s.Reload(t.Context()); err == nil || !strings.Contains(log.String(), "the current certificate stays in use") {
		t.Errorf("a bad key: %v, %s", err, &log)
	}
	if _, err := trusting(t, s.Addr(), renewed).ask("task.get", params{"id": "t-1"}); err != nil {
		t.Errorf("after a bad key: %v", err)
	}
}
