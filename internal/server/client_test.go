package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// client is a client of one coordinator.
type client struct {
	url  string
	http *http.Client
}

func newClient(t testing.TB, addr string) *client {
	t.Helper()
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	t.Cleanup(transport.CloseIdleConnections)
	return &client{url: "http://" + addr, http: &http.Client{Transport: transport, Timeout: 30 * time.Second}}
}

// refusal is a JSON-RPC error as it was received.
type refusal struct {
	Code    int             `json:"code"`
	Message string          `json:"message"`
	Data    json.RawMessage `json:"data"`
}

func (r *refusal) Error() string { return fmt.Sprintf("%s (%d): %s", r.Message, r.Code, r.Data) }

// text returns the error's data if it is a string.
func (r *refusal) text() string {
	var s string
	_ = json.Unmarshal(r.Data, &s) // other data leaves s empty
	return s
}

// wireError is the error of a call without a response: the coordinator is gone.
type wireError struct{ error }

// ask makes one call. The error is a *refusal or a wireError.
func (c *client) ask(method string, params any) (json.RawMessage, error) {
	body, err := json.Marshal(map[string]any{"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
	if err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, c.url+"/rpc", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Content-Type", "application/json")
	response, err := c.http.Do(request)
	if err != nil {
		return nil, wireError{err}
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, wireError{err}
	}
	var answer struct {
		Result json.RawMessage `json:"result"`
		Error  *refusal        `json:"error"`
	}
	if err := json.Unmarshal(text, &answer); err != nil {
		return nil, fmt.Errorf("%s answered status %d: %s", method, response.StatusCode, text)
	}
	if answer.Error != nil {
		return nil, answer.Error
	}
	return answer.Result, nil
}

// call makes one call that must succeed, and decodes its result.
func call[R any](t testing.TB, c *client, method string, params any) R {
	t.Helper()
	var result R
	text, err := c.ask(method, params)
	if err != nil {
		t.Fatalf("%s %v: %v", method, params, err)
	}
	if err := json.Unmarshal(text, &result); err != nil {
		t.Fatalf("%s %v answered %s: %v", method, params, text, err)
	}
	return result
}

// refused makes one call that must fail with this code.
func refused(t testing.TB, c *client, code int, method string, params any) *refusal {
	t.Helper()
	text, err := c.ask(method, params)
	var r *refusal
	if !errors.As(err, &r) || r.Code != code {
		t.Fatalf("%s %v: %s, %v; want error %d", method, params, text, err, code)
	}
	return r
}

// get requests a path.
func (c *client) get(t testing.TB, path string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := c.http.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// readyz requests /readyz.
func (c *client) readyz(t testing.TB) (int, readiness) {
	t.Helper()
	var r readiness
	status, body := c.get(t, "/readyz")
	if err := json.Unmarshal([]byte(body), &r); err != nil {
		t.Fatalf("/readyz answered %s: %v", body, err)
	}
	return status, r
}

// ready waits until the coordinator and all its stores are ready.
func (c *client) ready(t testing.TB) {
	t.Helper()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		status, r := c.readyz(t)
		return status == http.StatusOK && r.Ready && !r.Degraded, fmt.Sprintf("/readyz answers %d, %+v", status, r)
	})
}

type params map[string]any

// object is the type argument of call for a result as a map.
type object = map[string]any

// page is the result of task.list.
type page struct {
	Tasks      []listedTask
	TotalCount int
	HasMore    bool
	NextCursor string
	Behind     *struct{ Events, MS int64 }
}

type listedTask struct{ ID, CreatedAt, UpdatedAt string }

// create creates a task and returns its id.
func (c *client) create(t testing.TB, p params) string {
	t.Helper()
	return call[struct{ ID string }](t, c, "task.create", p).ID
}
