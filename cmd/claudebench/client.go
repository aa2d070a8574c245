package main

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/internal/config"
)

// client calls a coordinator over HTTP. Its fields are flags.
type client struct{ url, ca string }

// bind adds the flags that select the coordinator.
func (c *client) bind(cmd *cobra.Command) {
	cmd.Flags().StringVar(&c.url, "url", "", "the coordinator's URL (default: http:// and CB_LISTEN or 127.0.0.1:3000)")
	cmd.Flags().StringVar(&c.ca, "ca", "", "PEM file of a private CA to trust, besides the CAs of the system")
}

// baseURL returns the coordinator's URL without a trailing slash.
func (c *client) baseURL() string {
	url := c.url
	if url == "" {
		url = os.Getenv("CB_LISTEN")
	}
	if url == "" {
		url = "127.0.0.1:3000"
	}
	if !strings.Contains(url, "://") {
		// A coordinator that listens on every address is called on this machine.
		if host, port, err := net.SplitHostPort(url); err == nil && (host == "" || host == "0.0.0.0" || host == "::") {
			url = net.JoinHostPort("localhost", port)
		}
		url = "http://" + url
	}
	return strings.TrimSuffix(url, "/")
}

// send makes a request and returns the status and the body of the response.
func (c *client) send(request *http.Request) (status int, body []byte, err error) {
	if token := strings.TrimSpace(os.Getenv(config.Token)); token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	transport, err := c.transport()
	if err != nil {
		return 0, nil, usageError(err)
	}
	defer transport.CloseIdleConnections()
	response, err := (&http.Client{Transport: transport}).Do(request)
	if err != nil {
		return 0, nil, unavailableError(unreachable(request.URL.Host, err))
	}
	defer func() { _ = response.Body.Close() }()
	body, err = io.ReadAll(response.Body)
	return response.StatusCode, body, unavailableError(err)
}

// transport trusts the system's CAs, and the private CA if one is named.
func (c *client) transport() (*http.Transport, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone() //nolint:forcetypeassert // as documented
	if c.ca == "" {
		return transport, nil
	}
	text, err := os.ReadFile(c.ca)
	if err != nil {
		return nil, fmt.Errorf("--ca: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		roots = x509.NewCertPool()
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca: %s has no certificate in PEM format", c.ca)
	}
	transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
	return transport, nil
}

// unreachable returns an error that says why a coordinator did not reply, and what to do.
func unreachable(host string, err error) error {
	var certificate *tls.CertificateVerificationError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.As(err, &certificate):
		return fmt.Errorf("connect to %s: its certificate is not trusted: %w; use a host name that the certificate contains, or pass the CA's file with --ca",
			host, certificate.Err)
	case errors.As(err, &timeout) && !timeout.Timeout():
		return fmt.Errorf("connect to a coordinator at %s: %w; start one with 'claudebench up', or pass its URL with --url", host, err)
	}
	return err
}
