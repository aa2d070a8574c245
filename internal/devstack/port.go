package devstack

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"strconv"
)

// Ports are taken from below the ranges that kernels hand out to outgoing connections (Linux from
// 32768, macOS from 49152). A port from inside such a range can become somebody's source port while
// the server is down, and a restart on it then fails.
const (
	firstPort = 15000
	lastPort  = 32767
)

// FreePort returns a TCP port of 127.0.0.1 on which nobody listens at this moment. It is not
// reserved: who binds it later must be ready to find it taken.
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
	return 0, errors.New("find a free port on 127.0.0.1: two hundred tries were all taken")
}

func loopback(port int) string {
	return net.JoinHostPort("127.0.0.1", strconv.Itoa(port))
}
