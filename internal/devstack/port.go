package devstack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are below the ranges that kernels use for outgoing connections (Linux from 32768, macOS
// from 49152). A port in such a range can become the source port of another connection while the
// server is down, and then a restart on it fails.
const (
	firstPort = 15000
	lastPort  = 32767
)

// FreePort returns a TCP port of 127.0.0.1 on which nothing listens now. The port is not reserved:
// another process may take it before the caller binds it.
func FreePort() (int, error) {
	for range 200 {
		port := firstPort + rand.IntN(lastPort-firstPort+1)
		l, err := net.Listen("tcp", loopback(port))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			return 0, fmt.Errorf("release port %d: %w", port, err)
		}
		return port, nil
	}
	return 0, errors.New("find a free port on 127.0.0.1: 200 tries found none")
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
