package testenv

import (
	"bufio"
	"io"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// Life shows when a shell script runs, and when nothing that it has started runs any more, even if
// nobody waits for these processes. It is a named pipe that they hold open.
type Life struct {
	// Text is the beginning of a script: it opens the pipe and writes a line with its process ID.
	Text string
	// Child is shell text that starts, in the background, a process that does the same, and sleeps.
	Child string
	// Begun gets the line.
	Begun chan string
	gone  chan struct{}
}

// WatchLife makes a named pipe for one script.
func WatchLife(t testing.TB) Life {
	t.Helper()
	path := filepath.Join(t.TempDir(), "life")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	text := `exec 9>"` + path + `"; echo $$ >&9; `
	l := Life{text, "sh -c '" + text + "exec sleep 600' & ", make(chan string, 1), make(chan struct{})}
	go func() {
		defer close(l.gone)
		file, err := os.Open(path) // returns when the script opens it
		if err != nil {
			l.Begun <- err.Error()
			return
		}
		defer file.Close()
		lines := bufio.NewReader(file)
		line, _ := lines.ReadString('\n')
		l.Begun <- strings.TrimSpace(line)
		_, _ = io.Copy(io.Discard, lines)
	}()
	return l
}

// Ended waits until no process holds the pipe open. After half a minute it fails the test.
func (l Life) Ended(t testing.TB) {
	t.Helper()
	late := time.NewTimer(endTimeout)
	defer late.Stop()
	select {
	case <-l.gone:
	case <-late.C:
		t.Fatal("processes of the script are still running")
	}
}
