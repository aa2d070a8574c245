package wire

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
)

// bufferSize fits a pipeline of replies, and a batch of a hundred tasks.
const bufferSize = 64 << 10

// Redis is one connection. It is not safe for concurrent use.
type Redis struct {
	conn net.Conn
	in   *bufio.Reader
}

// DialRedis connects and authenticates with the password.
func DialRedis(ctx context.Context, addr, password string) (*Redis, error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, fmt.Errorf("connect to Redis: %w", err)
	}
	c := &Redis{conn: conn, in: bufio.NewReaderSize(conn, bufferSize)}
	if err = c.Send(AppendCommand(nil, "AUTH", password)); err == nil {
		err = c.Skip(1)
	}
	if err != nil {
		_ = conn.Close()
		return nil, err
	}
	return c, nil
}

// Close closes the connection.
func (c *Redis) Close() error { return c.conn.Close() }

// AppendCommand appends a command in the Redis protocol.
func AppendCommand(b []byte, args ...string) []byte {
	b = append(strconv.AppendInt(append(b, '*'), int64(len(args)), 10), "\r\n"...)
	for _, arg := range args {
		b = append(strconv.AppendInt(append(b, '$'), int64(len(arg)), 10), "\r\n"...)
		b = append(append(b, arg...), "\r\n"...)
	}
	return b
}

// Send writes commands.
func (c *Redis) Send(commands []byte) error {
	if _, err := c.conn.Write(commands); err != nil {
		return fmt.Errorf("write to Redis: %w", err)
	}
	return nil
}

// Line reads a reply of one line, or a message of MONITOR. It is valid until the next read.
func (c *Redis) Line() ([]byte, error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return nil, fmt.Errorf("read from Redis: %w", err)
	}
	return line, nil
}

// Skip reads n replies. The error is the first error reply, or the connection's.
func (c *Redis) Skip(n int) error {
	var refused error
	for range n {
		if err := c.skip(); err != nil {
			var answered *ErrorReply
			if !errors.As(err, &answered) {
				return err
			}
			if refused == nil {
				refused = err
			}
		}
	}
	return refused
}

// ErrorReply is an error reply of Redis.
type ErrorReply struct{ Text string }

func (e *ErrorReply) Error() string { return "redis answered " + e.Text }

func (c *Redis) skip() error {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return fmt.Errorf("read from Redis: %w", err)
	}
	if len(line) < 3 {
		return fmt.Errorf("redis sent %q", line)
	}
	switch line[0] {
	case '+', ':':
		return nil
	case '-':
		return &ErrorReply{Text: string(line[1 : len(line)-2])}
	}
	n, err := strconv.Atoi(string(line[1 : len(line)-2]))
	if err != nil {
		return fmt.Errorf("redis sent %q", line)
	}
	switch {
	case line[0] == '$' && n >= 0:
		_, err = c.in.Discard(n + 2)
		return err
	case line[0] == '*' && n > 0:
		return c.Skip(n)
	case n <= 0:
		return nil
	}
	return fmt.Errorf("redis sent %q: %w", line, io.ErrUnexpectedEOF)
}
