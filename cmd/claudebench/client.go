package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/claudebench/claudebench/client"
	"github.com/claudebench/claudebench/internal/config"
)

// target selects a coordinator. Its fields are flags.
type target struct{ url, ca string }

// bind adds the flags that select the coordinator.
func (t *target) bind(cmd *cobra.Command) {
	t.bindURL(cmd)
	t.bindCA(cmd)
}

// bindCA adds the flag of a private CA.
func (t *target) bindCA(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.ca, "ca", "", "PEM file of a private CA to trust, besides the CAs of the system")
}

// bindURL adds the flag of the coordinator's URL.
func (t *target) bindURL(cmd *cobra.Command) {
	cmd.Flags().StringVar(&t.url, "url", "", "the coordinator's URL (default: http:// and CB_LISTEN or 127.0.0.1:3000)")
}

// baseURL returns the coordinator's URL without a trailing slash.
func (t *target) baseURL() string {
	url := t.url
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

// dial returns a client of the coordinator, with the token of the environment.
func (t *target) dial(options ...client.Option) (*client.Client, error) {
	if t.ca != "" {
		options = append(options, client.WithCA(t.ca))
	}
	c, err := client.New(t.baseURL(), os.Getenv(config.Token), options...)
	return c, usageError(err)
}

// explained returns the error of a call with what a person can do, and with its exit code.
func (t *target) explained(err error) error {
	var lost *client.ConnectionError
	switch {
	case errors.As(err, &lost):
		return unavailableError(unreachable(strings.TrimPrefix(strings.TrimPrefix(lost.URL, "http://"), "https://"), lost.Err))
	case errors.Is(err, client.ErrNotCoordinator):
		return unavailableError(err)
	}
	return err
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
