package client

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// Client calls one coordinator, or several behind one URL. It is safe for concurrent use.
type Client struct {
	url, token string
	http       *http.Client
	patience   time.Duration // for retries
}

// Option configures a Client.
type Option func(*Client) error

const (
	// defaultPatience is how long a Client repeats a call.
	defaultPatience = 10 * time.Second
	// maxIdle is the number of idle connections that a Client keeps. Each waiting claim has its own
	// connection.
	maxIdle = 1024
	// idleTime is less than the two minutes after which the coordinator closes a connection.
	idleTime = 90 * time.Second
	dialTime = 5 * time.Second
)

// New returns a client of the coordinator at a URL, such as http://127.0.0.1:3000. token is "" for a
// coordinator without an auth file. New makes no call.
func New(coordinator, token string, options ...Option) (*Client, error) {
	u, err := url.Parse(strings.TrimSpace(coordinator))
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return nil, fmt.Errorf("%q is not the URL of a coordinator; it looks like http://127.0.0.1:3000", coordinator)
	}
	if u.RawQuery != "" || u.Fragment != "" || u.User != nil {
		return nil, fmt.Errorf("the URL of the coordinator at %s must have no user, query or fragment; pass the token on its own", u.Host)
	}
	c := &Client{url: strings.TrimRight(u.String(), "/"), token: strings.TrimSpace(token), patience: defaultPatience}
	if strings.ContainsFunc(c.token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("the token contains white space or characters outside of ASCII; check CB_TOKEN")
	}
	c.http = &http.Client{Transport: newTransport(), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	for _, option := range options {
		if err := option(c); err != nil {
			return nil, err
		}
	}
	return c, nil
}

func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: dialTime, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: dialTime,
		ForceAttemptHTTP2:   true,
		MaxIdleConns:        maxIdle,
		MaxIdleConnsPerHost: maxIdle,
		IdleConnTimeout:     idleTime,
	}
}

// WithCA makes the client trust the certificates in a PEM file, besides those of the system.
func WithCA(file string) Option {
	return func(c *Client) error {
		text, err := os.ReadFile(file)
		if err != nil {
			return fmt.Errorf("read the private CA: %w", err)
		}
		roots, err := x509.SystemCertPool()
		if err != nil {
			roots = x509.NewCertPool()
		}
		if !roots.AppendCertsFromPEM(text) {
			return fmt.Errorf("%s has no certificate in PEM format", file)
		}
		transport, ok := c.http.Transport.(*http.Transport)
		if !ok {
			return errors.New("WithCA needs a transport of net/http; configure the CA in that of WithHTTPClient")
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}
		return nil
	}
}

// WithHTTPClient replaces the HTTP client. Its Timeout must be longer than that of each method that
// is called, see docs/api.md, and its transport needs an idle connection for each waiting claim.
func WithHTTPClient(h *http.Client) Option {
	return func(c *Client) error { c.http = h; return nil }
}

// WithRetry sets how long a call is repeated when it fails and may be repeated safely. The default
// is ten seconds. 0 means that no call is repeated.
func WithRetry(patience time.Duration) Option {
	return func(c *Client) error { c.patience = patience; return nil }
}

// URL returns the URL of the coordinator, without a slash at its end.
func (c *Client) URL() string { return c.url }

// Do sends a request to another path of the coordinator, such as /readyz, with the client's token and
// without retries. A redirect is an answer like any other.
func (c *Client) Do(r *http.Request) (*http.Response, error) {
	if c.token != "" && r.Header.Get("Authorization") == "" {
		r = r.Clone(r.Context())
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := c.http.Do(r)
	if err != nil {
		return nil, &ConnectionError{Method: r.URL.Path, URL: c.url, Sent: true, Err: innermost(err)}
	}
	return response, nil
}

// Close closes the idle connections. The Client stays usable.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Call calls a method, such as task.create, and stores the result. params is a value that encodes to
// a JSON object, or nil. result is a pointer, or nil to ignore the result; a *json.RawMessage gets
// the result byte for byte. The error is an [*Error] if the coordinator returned one.
func (c *Client) Call(ctx context.Context, method string, params, result any) error {
	text, err := encodeParams(method, params)
	if err != nil {
		return err
	}
	body, err := c.retried(ctx, method, text)
	if err != nil || result == nil {
		return err
	}
	if raw, ok := result.(*json.RawMessage); ok {
		*raw = body
		return nil
	}
	if err := json.Unmarshal(body, result); err != nil {
		return fmt.Errorf("%s: decode the result: %w", method, err)
	}
	return nil
}

func encodeParams(method string, params any) (json.RawMessage, error) {
	if params == nil {
		return json.RawMessage("{}"), nil
	}
	text, err := jsontext.Marshal(params)
	if err != nil {
		return nil, fmt.Errorf("%s: encode the params: %w", method, err)
	}
	return text, nil
}

// request is a JSON-RPC request.
type request struct {
	Version  string          `json:"jsonrpc"`
	ID       string          `json:"id"`
	Method   string          `json:"method"`
	Params   json.RawMessage `json:"params"`
	Metadata *metadata       `json:"metadata,omitempty"`
}

type metadata struct {
	CorrelationID string `json:"correlationId"`
}

// newRequest returns a request with an id of its own, which becomes the cause of its events.
func newRequest(ctx context.Context, method string, params json.RawMessage) request {
	r := request{Version: "2.0", ID: rand.Text(), Method: method, Params: params}
	if id, _ := ctx.Value(correlationKey{}).(string); id != "" {
		r.Metadata = &metadata{id}
	}
	return r
}

type (
	correlationKey struct{}
	traceKey       struct{}
)

// WithCorrelationID returns a context whose calls have a correlation id. It becomes the cause of
// their events.
func WithCorrelationID(ctx context.Context, id string) context.Context {
	return context.WithValue(ctx, correlationKey{}, id)
}

// WithTraceparent returns a context whose calls belong to a trace, given as a W3C traceparent.
func WithTraceparent(ctx context.Context, traceparent string) context.Context {
	return context.WithValue(ctx, traceKey{}, traceparent)
}
