package agenttest

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"testing"
)

// model stands in for the Messages API. The test plays the model: it receives the requests of the
// conversation one after the other, and answers them. Requests that Claude Code makes besides, such
// as for a title, are answered without the test.
type model struct {
	url      string
	requests chan *request
}

// request is one request of the conversation, which waits for the model's answer.
type request struct {
	Messages []struct {
		Role    string          `json:"role"`
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
	Tools []struct {
		Name        string          `json:"name"`
		InputSchema json.RawMessage `json:"input_schema"`
	} `json:"tools"`
	Model  string `json:"model"`
	Stream bool   `json:"stream"`

	answer chan block
}

// block is a content block of a message: a text, the use of a tool, or a tool's result.
type block struct {
	Type      string          `json:"type"`
	Text      string          `json:"text,omitempty"`
	ID        string          `json:"id,omitempty"`
	Name      string          `json:"name,omitempty"`
	Input     any             `json:"input,omitempty"`
	ToolUseID string          `json:"tool_use_id,omitempty"`
	IsError   bool            `json:"is_error,omitempty"`
	Content   json.RawMessage `json:"content,omitempty"`
}

func newModel(t *testing.T) *model {
	t.Helper()
	m := &model{requests: make(chan *request)}
	routes := http.NewServeMux()
	routes.HandleFunc("POST /v1/messages", func(w http.ResponseWriter, r *http.Request) {
		if err := m.message(w, r); err != nil && r.Context().Err() == nil {
			t.Errorf("the model: %v", err)
		}
	})
	routes.HandleFunc("POST /v1/messages/count_tokens", func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"input_tokens": 100}`)
	})
	server := httptest.NewServer(routes)
	t.Cleanup(func() {
		server.CloseClientConnections() // a request may wait for an answer for ever
		server.Close()
	})
	m.url = server.URL
	return m
}

func (m *model) message(w http.ResponseWriter, r *http.Request) error {
	q := &request{answer: make(chan block, 1)}
	if err := json.NewDecoder(r.Body).Decode(q); err != nil {
		return fmt.Errorf("read a request: %w", err)
	}
	if len(q.Tools) == 0 { // not of the conversation
		return q.reply(w, block{Type: "text", Text: "Work"})
	}
	if n := r.Header.Get("X-Stainless-Retry-Count"); n != "" && n != "0" {
		return fmt.Errorf("a request is repeated: %s", n)
	}
	select {
	case m.requests <- q:
	case <-r.Context().Done():
		return nil // the process has ended
	}
	select {
	case answer := <-q.answer:
		return q.reply(w, answer)
	case <-r.Context().Done():
		return nil
	}
}

// reply streams a message with one block.
func (q *request) reply(w http.ResponseWriter, content block) error {
	if !q.Stream {
		return errors.New("a request does not ask for a stream")
	}
	stop, start, delta := "end_turn", map[string]any{"type": "text", "text": ""}, map[string]any{"type": "text_delta", "text": content.Text}
	if content.Type == "tool_use" {
		input, err := json.Marshal(content.Input)
		if err != nil {
			return err
		}
		stop = "tool_use"
		start = map[string]any{"type": "tool_use", "id": content.ID, "name": content.Name, "input": map[string]any{}}
		delta = map[string]any{"type": "input_json_delta", "partial_json": string(input)}
	}
	w.Header().Set("Content-Type", "text/event-stream")
	for _, event := range []map[string]any{
		{"type": "message_start", "message": map[string]any{
			"id": "msg_" + rand.Text(), "type": "message", "role": "assistant", "model": q.Model, "content": []any{},
			"stop_reason": nil, "stop_sequence": nil, "usage": map[string]any{"input_tokens": 100, "output_tokens": 1},
		}},
		{"type": "content_block_start", "index": 0, "content_block": start},
		{"type": "content_block_delta", "index": 0, "delta": delta},
		{"type": "content_block_stop", "index": 0},
		{"type": "message_delta", "delta": map[string]any{"stop_reason": stop, "stop_sequence": nil}, "usage": map[string]any{"output_tokens": 10}},
		{"type": "message_stop"},
	} {
		text, err := json.Marshal(event)
		if err != nil {
			return err
		}
		if _, err := fmt.Fprintf(w, "event: %s\ndata: %s\n\n", event["type"], text); err != nil {
			return err
		}
	}
	return nil
}

// result returns the result of the tool use with this id.
func (q *request) result(id string) (block, bool) {
	for _, m := range q.Messages {
		var content []block
		if m.Role != "user" || json.Unmarshal(m.Content, &content) != nil { // a text alone
			continue
		}
		for _, b := range content {
			if b.Type == "tool_result" && b.ToolUseID == id {
				return b, true
			}
		}
	}
	return block{}, false
}

// text returns a result's content, which is a string or a list of blocks.
func (b block) text() string {
	var s string
	if json.Unmarshal(b.Content, &s) == nil {
		return s
	}
	var content []block
	if json.Unmarshal(b.Content, &content) != nil {
		return string(b.Content)
	}
	for _, c := range content {
		s += c.Text
	}
	return s
}
