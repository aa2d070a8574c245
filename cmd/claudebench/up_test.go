package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// dataFolder returns a folder with a space in its name, which a shell would split. Postgres's user
// can reach it, unlike t.TempDir.
func dataFolder(t *testing.T) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "claudebench up-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	if err := os.Chmod(dir, 0o711); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "data")
}

// shown extracts the commands to try from the output of `up`, in a form that a shell can run.
func shown(t *testing.T, out string) []string {
	t.Helper()
	_, try, _ := strings.Cut(out, "Try, in another terminal:\n")
	try, _, _ = strings.Cut(try, "\n\n")
	commands := strings.Split(try, "\n")
	if len(commands) != 3 {
		t.Fatalf("up shows no three commands:\n%s", out)
	}
	return commands
}

func shell(t *testing.T, line string) *exec.Cmd {
	t.Helper()
	cmd := command(t, nil)
	cmd.Path, cmd.Args = "/bin/sh", []string{"sh", "-c", "exec " + strings.TrimSpace(line)}
	return cmd
}

// The whole life of `up` in one data folder.
func TestUp(t *testing.T) {
	t.Parallel()
	dir := dataFolder(t)
	first := launch(t, nil, "up", "--listen", "127.0.0.1:0", "--data-dir", dir)
	first.shows(t, "Ctrl-C stops everything.")
	for _, want := range []string{"ClaudeBench is up at http://127.0.0.1:", "Redis " + dir, "Postgres " + dir} {
		if !strings.Contains(first.out.String(), want) {
			t.Errorf("up does not tell %q:\n%s", want, first.out)
		}
	}
	url := regexp.MustCompile(`http://[0-9.:]+`).FindString(first.out.String())

	// Each of the three commands works as printed: the first one watches what the other two do.
	commands := shown(t, first.out.String())
	tail := shell(t, commands[0])
	events, err := tail.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	tail.Stderr = os.Stderr
	if err := tail.Start(); err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 100)
	go func() {
		for lines := bufio.NewScanner(events); lines.Scan(); {
			seen <- lines.Text()
		}
		close(seen)
	}()
	// It is not visible when tail has started, so create events until it prints one.
	for begun := false; !begun; {
		if r := execute(t, nil, "call", "--url", url, "task.create", `{"text":"is anybody there"}`); r.code != 0 {
			t.Fatalf("%+v", r)
		}
		select {
		case <-seen:
			begun = true
		case <-time.After(300 * time.Millisecond):
		}
	}
	for n, want := range map[int]string{1: `{"registered":true}`, 2: `"say hello"`} {
		if r := finish(t, shell(t, commands[n])); r.code != 0 || !strings.Contains(r.out, want) {
			t.Errorf("%s: %+v", commands[n], r)
		}
	}
	told := ""
	for deadline := time.After(20 * time.Second); !strings.Contains(told, "say hello") || !strings.Contains(told, "instance.registered"); {
		select {
		case line := <-seen:
			told += line + "\n"
		case <-deadline:
			t.Fatalf("tail told only:\n%s", told)
		}
	}
	if err := tail.Process.Signal(os.Interrupt); err != nil {
		t.Fatal(err)
	}
	if err := tail.Wait(); err != nil {
		t.Errorf("tail, after Ctrl-C: %v", err)
	}

	if r := finish(t, shell(t, `sh -c 'eval "$("$0" env --data-dir "$1")" && echo "$CB_URL"' `+shellWord(os.Args[0])+" "+shellWord(dir))); r.out != url+"\n" {
		t.Errorf("env, in a shell: %+v", r)
	}

	// A second `up` in the same folder says which process has it.
	second := execute(t, nil, "up", "--listen", "127.0.0.1:0", "--data-dir", dir)
	for _, want := range []string{"in use", fmt.Sprint(first.Process.Pid), "--data-dir"} {
		if second.code != 1 || !strings.Contains(second.log, want) {
			t.Errorf("a second up: code %d, %q: want %q in it", second.code, second.log, want)
		}
	}
	before := listed(t, url)

	first.signal(t, os.Interrupt)
	if code := first.ended(t); code != 0 {
		t.Errorf("Ctrl-C: exit code %d\n%s", code, first.log)
	}
	if r := execute(t, nil, "tail", "--data-dir", dir); r.code != exitUnavailable || !strings.Contains(r.log, "claudebench up") {
		t.Errorf("tail when up has ended: %+v", r)
	}

	again := launch(t, []string{"CB_DATA_DIR=" + dir, "CB_LISTEN=127.0.0.1:0"}, "up")
	again.shows(t, "Ctrl-C stops everything.")
	url = regexp.MustCompile(`http://[0-9.:]+`).FindString(again.out.String())
	if after := listed(t, url); after != before {
		t.Errorf("after a restart:\n%s\nbefore:\n%s", after, before)
	}
	endpoints, err := readEndpoints(dir)
	if err != nil {
		t.Fatal(err)
	}
	if want := filepath.Join(dir, "archive"); endpoints.ArchiveDir != want {
		t.Errorf("the archive is in %q, not %s", endpoints.ArchiveDir, want)
	} else if _, err := os.Stat(filepath.Join(want, "manifest.json")); err != nil {
		t.Error(err)
	}
	if info, err := os.Stat(filepath.Join(dir, endpointsFile)); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the file with the passwords: %v, %v", info.Mode(), err)
	}
	// Nobody else can read the files in the folder. As root, others may enter the folder, because
	// Postgres runs as another user.
	if err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.Type()&fs.ModeSymlink != 0 {
			return err
		}
		info, err := entry.Info()
		if errors.Is(err, fs.ErrNotExist) {
			return nil // a temporary file
		}
		if err == nil && info.Mode().Perm()&0o066 != 0 || info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			t.Errorf("%s has mode %v", path, info.Mode())
		}
		if err == nil && path == filepath.Join(dir, "seals") {
			return fs.SkipDir // nobody else gets to the files in it
		}
		return err
	}); err != nil {
		t.Error(err)
	}
	// The servers end with `up`, however it ends.
	again.signal(t, syscall.SIGKILL)
	again.ended(t)
	for _, server := range []string{endpoints.RedisURL, endpoints.DatabaseURL} {
		addr := regexp.MustCompile(`@([0-9.:]+)`).FindStringSubmatch(server)[1]
		testenv.Eventually(t, 20*time.Second, func() (bool, string) {
			conn, err := net.DialTimeout("tcp", addr, time.Second)
			if err == nil {
				conn.Close()
			}
			return err != nil, addr + " still accepts connections"
		})
	}
}

// listed returns the result of task.list when the view is up to date.
func listed(t *testing.T, url string) string {
	t.Helper()
	var last string
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		r := execute(t, nil, "call", "--url", url, "task.list", `{"status":"pending"}`)
		last = r.out
		return r.code == 0 && strings.Contains(r.out, "say hello"), fmt.Sprintf("%+v", r)
	})
	return last
}

// Without Redis and Postgres on the machine, `up` says what is missing, and runs.
func TestUpWithNothingInstalled(t *testing.T) {
	t.Parallel()
	none := servers{
		redis: func(context.Context, devstack.RedisOptions) (*devstack.Redis, error) {
			return nil, fmt.Errorf("redis-server: %w", devstack.ErrNotInstalled)
		},
		postgres: func(context.Context, devstack.PostgresOptions) (*devstack.Postgres, error) {
			return nil, fmt.Errorf("postgres: %w", devstack.ErrNotInstalled)
		},
	}
	cfg := &config.Config{
		Listen: "127.0.0.1:0", DataDir: filepath.Join(t.TempDir(), "data"), LogFormat: "json",
		InstanceTTL: time.Minute, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10,
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	out, ended := &screen{}, make(chan error, 1)
	go func() { ended <- up(ctx, cfg, none, true, out) }()
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		select {
		case err := <-ended:
			t.Fatal(err)
		default:
		}
		return strings.Contains(out.String(), "Ctrl-C stops"), out.String()
	})
	for _, want := range []string{"LOSES EVERYTHING", "redis-server", "no Postgres", "in-memory Redis", "Postgres off"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("up does not tell %q:\n%s", want, out)
		}
	}
	url := regexp.MustCompile(`http://[0-9.:]+`).FindString(out.String())
	for _, c := range []struct {
		args []string
		code int
		want string
	}{
		{[]string{"system.register", `{"id":"w","roles":["worker"]}`}, 0, `{"registered":true}`},
		{[]string{"task.create", `{"text":"t"}`}, 0, `"t-3"`}, // after instance.registered and leader.elected
		{[]string{"task.claim", `{"workerId":"w"}`}, 0, `"claimed":true`},
		{[]string{"task.complete", `{"id":"t-3","result":[]}`}, 0, `"completed"`},
		{[]string{"task.get", `{"id":"t-3"}`}, 0, `"result":[]`},
		{[]string{"task.list"}, 1, "Postgres unavailable"},
	} {
		if r := execute(t, []string{"CB_URL=" + url}, append([]string{"call"}, c.args...)...); r.code != c.code || !strings.Contains(r.out+r.log, c.want) {
			t.Errorf("%v: %+v", c.args, r)
		}
	}
	if r := execute(t, []string{"CB_URL=" + url}, "ready"); r.code != 0 {
		t.Errorf("ready: %+v", r)
	}
	stop()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// If a server does not start in its folder, `up` ends the other server and fails.
func TestUpSaysWhyAServerDoesNotStart(t *testing.T) {
	t.Parallel()
	broken := servers{
		redis: func(context.Context, devstack.RedisOptions) (*devstack.Redis, error) {
			return nil, &devstack.StartError{Server: "Redis", Err: fmt.Errorf("it exited at once"), LogPath: "/log", LogTail: "Bad file format"}
		},
	}
	cfg := &config.Config{Listen: "127.0.0.1:0", DataDir: t.TempDir(), InstanceTTL: time.Minute, MonitorInterval: time.Second, TaskRetention: time.Hour, MaxLosses: 10}
	err := up(t.Context(), cfg, broken, true, &screen{})
	if err == nil || !strings.Contains(err.Error(), "Bad file format") {
		t.Errorf("up: %v", err)
	}
}

func TestCommandsShownCanBeCopied(t *testing.T) {
	t.Parallel()
	for exe, want := range map[string]bool{
		"/tmp/go-build1483323511/b001/exe/claudebench": true,

		"/home/u/.cache/go-build/41/414d09537e052624131b25d2ff9bcda51d680df8ab5bba70221e514757ab8fa5-d/claudebench": true,

		"/usr/local/bin/claudebench": false,
		"/tmp/x/y/claudebench":       false,
	} {
		if got := builtByRun.MatchString(exe); got != want {
			t.Errorf("%s is taken for one of go run: %t", exe, got)
		}
	}
	for word, want := range map[string]string{
		"/srv/data": "/srv/data", "./fleet": "./fleet", "": "''", "my data": "'my data'", "it's": `'it'\''s'`, "$HOME": "'$HOME'",
	} {
		if got := shellWord(word); got != want {
			t.Errorf("%q is written %s, want %s", word, got, want)
		}
	}
}

// The addresses contain the passwords of the servers. A file that somebody put in their place, as a
// link or for all to read, is replaced and not written into.
func TestEndpointsArePrivate(t *testing.T) {
	t.Parallel()
	dir, elsewhere := t.TempDir(), filepath.Join(t.TempDir(), "elsewhere")
	e := endpoints{RedisURL: "redis://default:sesame@127.0.0.1:1"}
	path := filepath.Join(dir, endpointsFile)
	for what, put := range map[string]func() error{
		"a file for all": func() error { return os.WriteFile(path, nil, 0o644) }, //nolint:gosec // that it is replaced
		"a link":         func() error { return errors.Join(os.WriteFile(elsewhere, nil, 0o600), os.Symlink(elsewhere, path)) },
	} {
		if err := errors.Join(put(), writeEndpoints(dir, e)); err != nil {
			t.Fatal(err)
		}
		if info, err := os.Lstat(path); err != nil || info.Mode() != 0o600 {
			t.Errorf("%s: %v, %v", what, info.Mode(), err)
		}
		if got, err := readEndpoints(dir); err != nil || got.RedisURL != e.RedisURL {
			t.Errorf("%s: %+v, %v", what, got, err)
		}
		if err := removeEndpoints(dir); err != nil {
			t.Fatal(err)
		}
	}
	if text, err := os.ReadFile(elsewhere); err != nil || len(text) > 0 {
		t.Errorf("written into the link's target: %q, %v", text, err)
	}
}
