package wire

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
)

// HTTP is one keep-alive connection. It is not safe for concurrent use.
type HTTP struct {
	conn net.Conn
	in   *bufio.Reader
	body []byte
}

// DialHTTP connects to a server.
func DialHTTP(ctx context.Context, addr string) (*HTTP, error) {
	return DialHTTPBuffer(ctx, addr, bufferSize)
}

// DialHTTPBuffer is DialHTTP with a read buffer of this many bytes, for thousands of connections.
// It must hold the longest line of a response's header.
func DialHTTPBuffer(ctx context.Context, addr string, buffer int) (*HTTP, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to the coordinator: %w", err)
	}
	return &HTTP{conn: conn, in: bufio.NewReaderSize(conn, buffer)}, nil
}

// Close closes the connection.
func (c *HTTP) Close() error { return c.conn.Close() }

// AppendPost appends a POST request with a JSON body.
func AppendPost(b []byte, addr, path string, body []byte) []byte {
	b = append(append(append(b, "POST "...), path...), " HTTP/1.1\r\nHost: "...)
	b = append(append(b, addr...), "\r\nContent-Type: application/json\r\nContent-Length: "...)
	b = append(strconv.AppendInt(b, int64(len(body)), 10), "\r\n\r\n"...)
	return append(b, body...)
}

var (
	okStatus      = []byte("HTTP/1.1 200 ")
	contentLength = []byte("Content-Length: ")
)

// Do sends a request made by AppendPost and returns the response body, which is valid until the
// next call.
func (c *HTTP) Do(request []byte) ([]byte, error) {
	if _, err := c.conn.Write(request); err != nil {
		return nil, fmt.Errorf("write to the coordinator: %w", err)
	}
	length := -1
	for first := true; ; first = false {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return nil, fmt.Errorf("read the coordinator's answer: %w", err)
		}
		if first && !bytes.HasPrefix(line, okStatus) {
			return nil, fmt.Errorf("the coordinator answered %q", bytes.TrimSpace(line))
		}
		if rest, ok := bytes.CutPrefix(line, contentLength); ok {
			if length, err = strconv.Atoi(string(bytes.TrimSpace(rest))); err != nil {
				return nil, fmt.Errorf("the coordinator's answer has a bad length: %q", line)
			}
		}
		if len(line) == 2 {
			break
		}
	}
	if length < 0 {
		return nil, fmt.Errorf("the coordinator's answer tells no length")
	}
	if cap(c.body) < length {
		c.body = make([]byte, 2*length)
	}
	c.body = c.body[:length]
	if _, err := io.ReadFull(c.in, c.body); err != nil {
		return nil, fmt.Errorf("read the coordinator's answer: %w", err)
	}
	return c.body, nil
}

var failure = []byte(`"jsonrpc":"2.0","error"`)

// Call is Do for JSON-RPC: an error in the response is an error.
func (c *HTTP) Call(request []byte) ([]byte, error) {
	body, err := c.Do(request)
	if err != nil {
		return nil, err
	}
	if at := bytes.Index(body, failure); at >= 0 {
		return nil, fmt.Errorf("a call failed: %.300s", body[at:])
	}
	return body, nil
}
