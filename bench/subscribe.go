package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"sync/atomic"
	"time"
)

// subscriberBuffer is the size of the buffer of each subscriber in bytes.
const subscriberBuffer = 16 << 10

// subscribers are streams of a coordinator's events over HTTP.
type subscribers struct {
	conns  []net.Conn
	over   atomic.Bool
	failed atomic.Pointer[error]
	done   sync.WaitGroup
}

// subscribe opens n streams and returns when all have begun. took gets each line of each stream.
func subscribe(ctx context.Context, p *program, n int, query string, took func(i int, line []byte)) (*subscribers, error) {
	s := &subscribers{conns: make([]net.Conn, n)}
	began := make(chan struct{}, n)
	err := each(ctx, n, func(ctx context.Context, i int) error {
		conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.addr)
		if err != nil {
			return err
		}
		s.conns[i] = conn
		_, err = fmt.Fprintf(conn, "GET /events?%s HTTP/1.1\r\nHost: %s\r\n\r\n", query, p.addr)
		return err
	})
	if err != nil {
		s.close()
		return nil, err
	}
	for i, conn := range s.conns {
		s.done.Go(func() { s.follow(i, conn, began, took) })
	}
	for range n {
		select {
		case <-began:
		case <-time.After(patience):
			s.close()
			return nil, errors.Join(errors.New("not all streams began"), s.err())
		case <-ctx.Done():
			s.close()
			return nil, ctx.Err()
		}
	}
	return s, nil
}

// follow reads a stream until it is closed. A line that is longer than the buffer comes in parts.
func (s *subscribers) follow(i int, conn net.Conn, began chan<- struct{}, took func(int, []byte)) {
	in := bufio.NewReaderSize(conn, subscriberBuffer)
	for first := true; ; {
		line, err := in.ReadSlice('\n')
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			if !s.over.Load() {
				err = fmt.Errorf("stream %d ended: %w", i, err)
				s.failed.CompareAndSwap(nil, &err)
			}
			return
		}
		if first && bytes.HasPrefix(line, []byte(": claudebench")) {
			first = false
			began <- struct{}{}
		}
		took(i, line)
	}
}

// err returns why a stream has ended by itself.
func (s *subscribers) err() error {
	if err := s.failed.Load(); err != nil {
		return *err
	}
	return nil
}

func (s *subscribers) close() {
	s.over.Store(true)
	for _, conn := range s.conns {
		if conn != nil {
			_ = conn.Close()
		}
	}
	s.done.Wait()
}
