package main

import (
	"io"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"

	"github.com/claudebench/claudebench/internal/testenv"
)

// onTerminal runs the program on a terminal until its output contains a text, and returns the
// output.
func onTerminal(t *testing.T, cmd *exec.Cmd, until string) string {
	t.Helper()
	shown, tty, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = tty, tty
	child := testenv.Launch(t, cmd)
	_ = tty.Close() // the child has its own
	screen := &testenv.Screen{}
	read := make(chan struct{})
	go func() {
		defer close(read)
		_, _ = io.Copy(screen, shown) // until the child exits, which is an error on Linux
	}()
	testenv.Eventually(t, time.Minute, func() (bool, string) {
		return strings.Contains(screen.String(), until), "shown so far: " + screen.String()
	})
	_ = child.Process.Kill()
	<-child.Done()
	<-read
	_ = shown.Close()
	return screen.String()
}

// Terminal control sequences in users' text are escaped on a terminal, and unchanged in a file.
func TestTerminalsAreShownEscapedText(t *testing.T) {
	t.Parallel()
	store := []string{"--redis-url", testenv.Redis(t).URL(), "--namespace", testenv.Namespace(t)}
	c := launch(t, nil, append([]string{"serve", "--listen", "127.0.0.1:0"}, store...)...)
	url := []string{"CB_URL=" + c.address(t)}
	const evil = "a\u009b2J\u202eb"
	if r := execute(t, url, "call", "task.create", `{"text":"`+evil+`"}`); r.code != 0 || !strings.Contains(r.out, evil) || strings.Contains(r.out, "\n  ") {
		t.Fatalf("into a pipe: %+v", r)
	}
	for what, args := range map[string][]string{
		"call":        {"call", "task.get", `{"id":"t-1"}`},
		"tail":        append([]string{"tail", "--after", "0"}, store...),
		"tail --json": append([]string{"tail", "--after", "0", "--json"}, store...),
		"replay":      append([]string{"replay"}, store...),
	} {
		shown := onTerminal(t, command(t, url, args...), `a\u009b2J\u202eb`)
		if strings.ContainsAny(shown, "\u009b\u202e\x7f\x1b") {
			t.Errorf("%s lets a terminal obey: %q", what, shown)
		}
		if indented := strings.Contains(shown, "{\r\n  \"id\""); indented != (what == "call") {
			t.Errorf("%s shows %q", what, shown)
		}
	}
}
