//go:build unix

package server

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// resident returns the memory of a process in bytes.
func resident(t *testing.T, pid int) int {
	t.Helper()
	if statm, err := os.ReadFile(fmt.Sprintf("/proc/%d/statm", pid)); err == nil {
		if pages, err := strconv.Atoi(strings.Fields(string(statm))[1]); err == nil {
			return pages * os.Getpagesize()
		}
	}
	out, err := exec.Command("ps", "-o", "rss=", "-p", strconv.Itoa(pid)).Output()
	if err != nil {
		t.Fatalf("how much memory the coordinator has: %v", err)
	}
	kilobytes, err := strconv.Atoi(strings.TrimSpace(string(out)))
	if err != nil {
		t.Fatal(err)
	}
	return kilobytes << 10
}

// mayOpen fails the test if this process, or the coordinator, may not open that many connections.
// Go has already raised the soft limit.
func mayOpen(t *testing.T, connections uint64) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	if need := connections + 500; uint64(limit.Cur) < need { //nolint:unconvert // it is signed on some systems
		t.Fatalf("a process may have %d files open here, and this test needs %d: raise the hard limit (ulimit -Hn)", limit.Cur, need)
	}
}

// dial opens a connection that leaves no socket behind when the test ends. Otherwise that many
// would use up the ports.
func dial(t *testing.T, addr string) (net.Conn, error) {
	conn, err := new(net.Dialer).DialContext(t.Context(), "tcp", addr)
	if err != nil {
		return nil, err
	}
	err = conn.(*net.TCPConn).SetLinger(0)
	t.Cleanup(func() { _ = conn.Close() })
	return conn, err
}

const beat = `{"jsonrpc":"2.0","id":1,"method":"system.heartbeat","params":{"instanceId":"i"}}`

func head(addr string, length int) string {
	return fmt.Sprintf("POST /rpc HTTP/1.1\r\nHost: %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", addr, length)
}

// exchanged sends a body and reads the whole response.
func exchanged(conn net.Conn, addr, body string) (status int, err error) {
	if _, err := io.WriteString(conn, head(addr, len(body))+body); err != nil {
		return 0, err
	}
	response, err := http.ReadResponse(bufio.NewReaderSize(conn, 512), nil)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// many calls do that many times, partly concurrently, and returns the first error.
func many(times int, do func() error) error {
	var next atomic.Int64
	var all sync.WaitGroup
	failed := make(chan error, 1)
	for range 32 {
		all.Go(func() {
			for next.Add(1) <= int64(times) {
				if err := do(); err != nil {
					select {
					case failed <- err:
					default:
					}
					return
				}
			}
		})
	}
	all.Wait()
	select {
	case err := <-failed:
		return err
	default:
		return nil
	}
}

// answersInTime makes an agent's calls. Each must be answered within the method's timeout.
func (c *client) answersInTime(t *testing.T) {
	t.Helper()
	for range 50 {
		began := time.Now()
		call[object](t, c, "system.heartbeat", params{"instanceId": "i"})
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("a heartbeat took %s", took)
		}
	}
}

// A fleet whose agents keep their connections open costs memory but does not delay anybody.
func TestTenThousandIdleConnections(t *testing.T) {
	const connections, most = 10_000, withRaceDetector * 48 << 10
	mayOpen(t, connections)
	p := spawn(t, settings(t, nil))
	addr := strings.TrimPrefix(p.url, "http://")
	p.answersInTime(t)
	before := resident(t, p.cmd.Process.Pid)
	began := time.Now()
	if err := many(connections, func() error {
		conn, err := dial(t, addr)
		if err != nil {
			return err
		}
		if status, err := exchanged(conn, addr, beat); err != nil || status != http.StatusOK {
			return fmt.Errorf("status %d: %w", status, err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.answersInTime(t)
	each := (resident(t, p.cmd.Process.Pid) - before) / connections
	t.Logf("%d connections in %s, %d bytes each", connections, time.Since(began).Round(time.Millisecond), each)
	if each > most {
		t.Errorf("an idle connection costs %d bytes, want %d at most", each, most)
	}
}

// Callers that send nearly all of a long body and then stop get only the memory that is reserved
// for long bodies. A caller with a short body does not wait for them.
func TestManyLongBodiesAtOnce(t *testing.T) {
	const connections, length, most = 400, 1 << 20, withRaceDetector * 160 << 20
	mayOpen(t, connections)
	p := spawn(t, settings(t, nil))
	addr := strings.TrimPrefix(p.url, "http://")
	p.answersInTime(t)
	before := resident(t, p.cmd.Process.Pid)
	nearly := head(addr, length) + strings.Repeat(" ", length-1)
	var refused atomic.Int64
	if err := many(connections, func() error {
		conn, err := dial(t, addr)
		if err != nil {
			return err
		}
		// A rejected caller may be told so before it has sent everything.
		if _, err := io.WriteString(conn, nearly); err != nil {
			refused.Add(1)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	p.answersInTime(t)
	grown := resident(t, p.cmd.Process.Pid) - before
	t.Logf("%d bodies of %d bytes under way (%d were cut off while they were sent): %d MiB more", connections, length, refused.Load(), grown>>20)
	if grown > most {
		t.Errorf("the coordinator has grown by %d bytes, want %d at most", grown, most)
	}
	conn, err := dial(t, addr)
	if err != nil {
		t.Fatal(err)
	}
	if status, err := exchanged(conn, addr, beat+strings.Repeat(" ", length-len(beat))); err != nil || status != http.StatusServiceUnavailable {
		t.Errorf("another long body: status %d, %v; want 503", status, err)
	}
}
