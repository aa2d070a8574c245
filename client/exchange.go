package client

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"sync/atomic"
	"time"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// maxAnswer is more than a coordinator ever answers.
const maxAnswer = 256 << 20

// The first and the longest pause between two tries.
const (
	firstPause = 100 * time.Millisecond
	maxPause   = 2 * time.Second
)

// retried makes a call, and repeats it while that is safe and the client's patience lasts.
func (c *Client) retried(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	end := time.Now().Add(c.patience)
	for pause := firstPause; ; pause = min(2*pause, maxPause) {
		result, err := c.once(ctx, method, params)
		wait, again := c.again(method, params, err, pause)
		if !again || !time.Now().Add(wait).Before(end) || !sleep(ctx, wait) {
			return result, err
		}
	}
}

// again reports whether to repeat a call after an error, and how long to wait before.
func (c *Client) again(method string, params json.RawMessage, err error, pause time.Duration) (wait time.Duration, again bool) {
	switch {
	case err == nil || c.patience <= 0:
		return 0, false
	case IsRateLimited(err):
		return max(RetryAfter(err), pause), true
	case IsUnavailable(err), OutcomeUnknown(err) && repeatable(method, params):
		return jitter(pause), true
	}
	return 0, false
}

// jitter returns between half of a pause and all of it, so that clients do not come back together.
func jitter(pause time.Duration) time.Duration {
	return pause/2 + rand.N(pause/2+1) //nolint:gosec // spreads load, no secret
}

// sleep waits, and reports whether ctx is still alive.
func sleep(ctx context.Context, d time.Duration) bool {
	if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < d {
		return false
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err() == nil
	case <-ctx.Done():
		return false
	}
}

// once makes a call.
func (c *Client) once(ctx context.Context, method string, params json.RawMessage) (json.RawMessage, error) {
	status, body, err := c.exchange(ctx, method, timeout(method, params), newRequest(ctx, method, params))
	if err != nil {
		return nil, err
	}
	var answer struct {
		Version string          `json:"jsonrpc"`
		Result  json.RawMessage `json:"result"`
	}
	if json.Unmarshal(body, &answer) == nil && answer.Version == "2.0" && answer.Result != nil {
		return answer.Result, nil
	}
	return nil, c.errorOf(method, status, body)
}

// answer is the answer to one call of a batch: a result or an error.
type answer struct {
	result json.RawMessage
	err    error
}

// batch makes several calls in one request, without retries. The error is one of the whole request.
func (c *Client) batch(ctx context.Context, most time.Duration, calls []request) ([]answer, error) {
	name := calls[0].Method
	status, body, err := c.exchange(ctx, name, most, calls)
	if err != nil {
		return nil, err
	}
	var received []struct {
		Result json.RawMessage `json:"result"`
		Error  *Error          `json:"error"`
	}
	if json.Unmarshal(body, &received) != nil || len(received) != len(calls) {
		return nil, c.errorOf(name, status, body)
	}
	answers := make([]answer, len(calls))
	for i, r := range received {
		answers[i].result = r.Result
		if r.Error != nil {
			r.Error.Method = calls[i].Method
			answers[i].err = r.Error
		}
	}
	return answers, nil
}

// errTooLate is the cause of a call that took longer than the coordinator lets any call take.
var errTooLate = errors.New("the coordinator took longer than it may")

// exchange posts JSON and returns the answer.
func (c *Client) exchange(ctx context.Context, method string, most time.Duration, body any) (status int, text []byte, err error) {
	sent, err := jsontext.Marshal(body)
	if err != nil {
		return 0, nil, fmt.Errorf("%s: encode the request: %w", method, err)
	}
	timed, cancel := context.WithTimeoutCause(ctx, most, errTooLate)
	defer cancel()
	var connected atomic.Bool
	traced := httptrace.WithClientTrace(timed, &httptrace.ClientTrace{
		GetConn: func(string) { connected.Store(false) },
		GotConn: func(httptrace.GotConnInfo) { connected.Store(true) },
	})
	r, err := http.NewRequestWithContext(traced, http.MethodPost, c.url+"/rpc", bytes.NewReader(sent))
	if err != nil {
		return 0, nil, fmt.Errorf("%s: %w", method, err)
	}
	r.Header.Set("Content-Type", "application/json")
	if c.token != "" {
		r.Header.Set("Authorization", "Bearer "+c.token)
	}
	if trace, _ := ctx.Value(traceKey{}).(string); trace != "" {
		r.Header.Set("Traceparent", trace)
	}
	response, err := c.http.Do(r)
	if err == nil {
		defer func() { _ = response.Body.Close() }()
		text, err = io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	}
	if err != nil {
		if ctx.Err() == nil && timed.Err() != nil {
			err = fmt.Errorf("%w (%s)", errTooLate, most)
		}
		return 0, nil, &ConnectionError{Method: method, URL: c.url, Sent: connected.Load(), Err: innermost(err)}
	}
	return response.StatusCode, text, nil
}

// innermost returns an error without the URL and the method that net/http adds.
func innermost(err error) error {
	var outer *url.Error
	if errors.As(err, &outer) {
		return outer.Err
	}
	return err
}
