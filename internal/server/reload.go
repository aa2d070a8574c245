package server

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/crossorigin"
	"github.com/claudebench/claudebench/internal/hookpolicy"
)

// certificate is the server's certificate. Its two files can be reloaded while connections are
// made.
type certificate struct {
	certFile, keyFile string
	current           atomic.Pointer[tls.Certificate]
}

func openCertificate(certFile, keyFile string) (*certificate, error) {
	c := &certificate{certFile: certFile, keyFile: keyFile}
	if err := c.reload(); err != nil {
		return nil, err
	}
	return c, nil
}

// reload reads the files again. If it returns an error, the current certificate stays in use.
func (c *certificate) reload() error {
	pair, err := tls.LoadX509KeyPair(c.certFile, c.keyFile)
	if err != nil {
		return fmt.Errorf("read the certificate %s and its key %s: %w", c.certFile, c.keyFile, err)
	}
	c.current.Store(&pair)
	return nil
}

// config returns the configuration of a listener: TLS 1.2 or newer, with Go's choice of cipher
// suites, which is kept current.
func (c *certificate) config() *tls.Config {
	return &tls.Config{
		MinVersion: tls.VersionTLS12,
		GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
			return c.current.Load(), nil
		},
	}
}

// names returns the subject names of the certificate, for the log.
func (c *certificate) names() []string {
	names := slices.Clone(c.leaf().DNSNames)
	for _, ip := range c.leaf().IPAddresses {
		names = append(names, ip.String())
	}
	return names
}

func (c *certificate) leaf() *x509.Certificate { return c.current.Load().Leaf }

// protect loads the accepted tokens, the accepted host names, the certificate and the policy.
func (s *Server) protect(ctx context.Context, cfg *config.Config) error {
	for _, host := range cfg.AllowedHosts {
		if err := crossorigin.CheckHost(host); err != nil {
			return fmt.Errorf("--allowed-hosts: %w", err)
		}
	}
	var err error
	if cfg.AuthFile != "" {
		if s.tokens, err = auth.Open(cfg.AuthFile); err != nil {
			return err
		}
	}
	if cfg.TLSCert != "" {
		if s.certificate, err = openCertificate(cfg.TLSCert, cfg.TLSKey); err != nil {
			return err
		}
	}
	if cfg.HookPolicy != "" {
		if s.policy, err = hookpolicy.Open(cfg.HookPolicy); err != nil {
			return err
		}
	}
	if cfg.InTheClear() {
		s.logger.WarnContext(ctx, "tokens are sent over the network unencrypted; pass --tls-cert and --tls-key, or use a proxy with TLS",
			"listen", cfg.Listen)
	}
	return nil
}

// certifiedNames returns the names in the certificate, which are accepted as host names. A wildcard
// certifies no single name.
func (s *Server) certifiedNames() []string {
	if s.certificate == nil {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(s.certificate.leaf().DNSNames), func(name string) bool { return strings.Contains(name, "*") })
}

// hosts returns the host names that are accepted besides the bound address: those that the operator
// allows, those of the certificate, and the name in --listen, which the bound address does not
// show.
func (s *Server) hosts(cfg *config.Config, bound net.Addr) []string {
	hosts := append(s.certifiedNames(), cfg.AllowedHosts...)
	name, _, _ := net.SplitHostPort(cfg.Listen) // valid, because it was bound
	if name = strings.TrimSuffix(name, "."); name == "" || net.ParseIP(name) != nil || strings.Contains(name, "%") {
		return hosts
	}
	_, port, _ := net.SplitHostPort(bound.String())
	return append(hosts, net.JoinHostPort(name, port))
}

// callers returns the accepted tokens, or nil if authentication is disabled. A nil *auth.Store in
// the interface would not be nil.
func (s *Server) callers() api.Tokens {
	if s.tokens == nil {
		return nil
	}
	return s.tokens
}

// still returns the check of the tokens of streams, or nil if authentication is disabled.
func (s *Server) still() func(*http.Request) bool {
	if s.tokens == nil {
		return nil
	}
	return s.tokens.Still
}

// Reload reads the auth file, the certificate and the policy again and logs the outcome. An invalid file leaves
// the current one in force.
func (s *Server) Reload(ctx context.Context) error {
	var failed error
	if s.tokens != nil {
		if err := s.tokens.Reload(); err != nil {
			s.logger.ErrorContext(ctx, "the new auth file is invalid; the current tokens stay in use", "error", err)
			failed = err
		} else {
			s.streams.Recheck()
			s.logger.InfoContext(ctx, "reloaded the auth file", "tokens", s.tokens.Len())
		}
	}
	if s.certificate != nil {
		if err := s.certificate.reload(); err != nil {
			s.logger.ErrorContext(ctx, "the new certificate is invalid; the current certificate stays in use", "error", err)
			failed = errors.Join(failed, err)
		} else {
			s.logger.InfoContext(ctx, "reloaded the certificate", slog.Any("names", s.certificate.names()),
				"until", s.certificate.leaf().NotAfter)
		}
	}
	if s.policy != nil {
		if err := s.policy.Reload(); err != nil {
			s.logger.ErrorContext(ctx, "the new policy is invalid; the current rules stay in use", "error", err)
			failed = errors.Join(failed, err)
		} else {
			s.logger.InfoContext(ctx, "reloaded the policy", "rules", s.policy.Len())
		}
	}
	return failed
}

// serve serves the connections of a listener until the server is shut down.
func (s *Server) serve(listener net.Listener) error {
	if s.certificate == nil {
		return s.http.Serve(listener)
	}
	s.http.TLSConfig = s.certificate.config()
	// Not HTTP/2: Go's server gives an unfinished header there two minutes, and the connections that
	// a stop drops would carry calls in flight as well.
	s.http.Protocols = new(http.Protocols)
	s.http.Protocols.SetHTTP1(true)
	return s.http.ServeTLS(listener, "", "")
}

// URL returns the URL of the server.
func (s *Server) URL() string {
	if s.certificate != nil {
		return "https://" + s.Addr()
	}
	return "http://" + s.Addr()
}
