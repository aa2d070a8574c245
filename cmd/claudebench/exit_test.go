package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/logtest"
	"github.com/claudebench/claudebench/internal/testenv"
	"github.com/claudebench/claudebench/lua"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	plain := errors.New("broken")
	for want, list := range map[int][]error{
		0:               {nil, usageError(nil), unavailableError(nil)},
		exitFailed:      {plain, exitError{code: exitFailed}, fmt.Errorf("x: %w", plain)},
		exitUsage:       {usageError(plain), fmt.Errorf("x: %w", usageError(plain)), unavailableError(usageError(plain))},
		exitUnavailable: {unavailableError(plain), fmt.Errorf("x: %w", lua.ErrUnavailable), &net.OpError{Op: "dial", Err: plain}},
	} {
		for _, err := range list {
			if got := exitCode(err); got != want {
				t.Errorf("%v ends with %d, want %d", err, got, want)
			}
		}
	}
}

// Every command exits with 2 for wrong usage, with 3 if a dependency cannot be reached or read, and
// with 1 if it ran and failed. Only doctor, which reports such dependencies, exits with 2 for them.
func TestExitCodesOfCommands(t *testing.T) {
	t.Parallel()
	const (
		noRedis       = "--redis-url=redis://127.0.0.1:1"
		noCoordinator = "--url=http://127.0.0.1:1"
		aVerifier     = "example.com/fleet+9e270114+ARx/oLvgj80xqddVaHZbTz2Bw9HZQa+2gyi6pTyNbq++"
	)
	redis := "--redis-url=" + testenv.Redis(t).URL()
	wrongPassword := "--redis-url=" + wrongPassword(t)
	stranger := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(stranger.Close)
	busy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusServiceUnavailable)
		_, _ = io.WriteString(w, `{"error":{"code":-32603},"reasons":["Redis is away"]}`)
	}))
	t.Cleanup(busy.Close)
	empty, typo := t.TempDir(), "--namespace="+testenv.Namespace(t)
	existing := filepath.Join(empty, "token")
	if err := os.WriteFile(existing, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	all := map[string]map[int][][]string{
		"": {exitUsage: {{"nonsense"}, {"--nonsense"}}},
		"up": {
			exitUsage: {{"surplus"}, {"--nonsense"}, {"--instance-ttl", "soon"}},
		},
		"serve": {
			exitUsage:       {{"surplus"}, {"--nonsense"}, {"--listen", "nowhere", redis, typo}, {}, {"--redis-url=http://127.0.0.1"}, {redis, typo, "--listen=127.0.0.1:0", "--database-url=nonsense://"}},
			exitUnavailable: {{noRedis, "--listen=127.0.0.1:0"}},
		},
		"call": {
			exitUsage:       {{}, {"task.list", "{}", "surplus"}, {"task.list", "{"}, {"task.list", "--url", "http://[::1"}, {"task.list", "@" + empty}},
			exitUnavailable: {{"task.list", noCoordinator}, {"task.list", "--url=" + stranger.URL}},
			exitFailed:      {{"task.list", "--url=" + busy.URL}},
		},
		"tail": {
			exitUsage:       {{"surplus"}, {"--types", "task.foo", noRedis}, {"--after", "x", redis, typo}, {redis, typo}, {redis, "--data-dir", empty}, {"--namespace=x"}, {redis, "--task=t-1"}, {redis, noCoordinator}},
			exitUnavailable: {{noRedis}, {wrongPassword}, {"--data-dir", empty}, {noCoordinator}, {"--url=" + stranger.URL}, {"--after=0", "--url=" + busy.URL}},
		},
		"ready": {
			exitUsage:       {{"surplus"}, {"--nonsense"}},
			exitUnavailable: {{noCoordinator}, {"--url=" + stranger.URL}},
			exitFailed:      {{"--url=" + busy.URL}},
		},
		"env": {
			exitUsage:       {{"surplus"}},
			exitUnavailable: {{"--data-dir", empty}},
		},
		"replay": {
			exitUsage: {
				{"surplus"},
				{"--types", "task.foo", noRedis},
				{redis, typo},
				{"--redis-url=http://127.0.0.1"},
				{redis, noCoordinator},
				{noCoordinator, typo},
				{"--from=yesterday", redis},
				{"--to=-5", redis},
				{"--format=xml", redis},
				{"--follow", "--to=1", redis},
				{"--url=redis://x"},
			},
			exitUnavailable: {{noRedis}, {wrongPassword}, {noCoordinator}, {"--url=" + stranger.URL}, {"--url=" + busy.URL}},
		},
		"state": {
			exitUsage:       {{"surplus"}, {"--at=yesterday", noRedis}, {"--limit=0", noRedis}, {"--format=xml", noRedis}, {redis, typo}},
			exitUnavailable: {{noRedis}, {wrongPassword}, {noCoordinator}, {"--url=" + stranger.URL}},
			exitFailed:      {{"--url=" + busy.URL}},
		},
		"diff": {
			exitUsage:       {{}, {"1", "2", "3"}, {"yesterday", noRedis}, {"1", "--limit=0", noRedis}, {"1", redis, typo}},
			exitUnavailable: {{"1", noRedis}, {"1", wrongPassword}, {"1", noCoordinator}, {"1", "--url=" + stranger.URL}},
			exitFailed:      {{"1", "--url=" + busy.URL}},
		},
		"history": {
			exitUsage:       {{}, {"t-1", "surplus"}, {"t-1", "--limit=0", noRedis}, {"t-1", "--format=xml", noRedis}, {"t-1", redis, typo}, {"t-1", redis, noCoordinator}},
			exitUnavailable: {{"t-1", noRedis}, {"t-1", wrongPassword}, {"t-1", noCoordinator}, {"t-1", "--url=" + stranger.URL}},
			exitFailed:      {{"t-1", "--url=" + busy.URL}},
		},
		"verify": {
			exitUsage:       {{"surplus"}, {"--wait", "long"}, {redis, typo}, {redis, "--namespace=a b"}, {redis, "--seals", empty}, {redis, "--key", aVerifier}},
			exitUnavailable: {{noRedis}, {wrongPassword}},
		},
		"prove": {
			exitUsage:       {{}, {"1", redis}, {"x", "--seals", empty, "--key", existing}, {"--check", existing}, {"1", "--check", existing, "--key", existing}},
			exitFailed:      {{"--check", existing, "--key", aVerifier}},
			exitUnavailable: {{"1", noRedis, "--seals", empty, "--key", aVerifier}},
		},
		"seal": {
			exitUsage:  {{"surplus"}, {redis, typo}, {redis, typo, "--seal-dir", empty}},
			exitFailed: {{redis, typo, "--seal-dir", empty, "--seal-key", existing}},
		},
		"rebuild": {
			exitUsage:       {{}, {"foo"}, {"state", "--all"}, {"all", "--dry-run", "--take-over"}, {"state", redis, typo}, {"tasks", redis, typo}, {"state", redis, "--namespace=a b"}},
			exitUnavailable: {{"state", noRedis}, {"state", wrongPassword}},
		},
		"archive": {
			exitUsage:       {{"surplus"}, {redis, typo}, {redis, typo, "--archive-dir=" + empty}, {noRedis}},
			exitUnavailable: {{noRedis, "--archive-dir=" + empty}, {wrongPassword, "--archive-dir=" + empty}},
			exitFailed:      {{redis, "--namespace=" + archivedElsewhere(t), "--archive-dir=" + t.TempDir()}},
		},
		"checkpoints": {
			exitUsage:       {{"foo"}, {"--format=xml", noRedis}, {redis, typo}, {"delete", redis}, {"delete", "x", redis, typo}},
			exitUnavailable: {{noRedis}, {wrongPassword}, {"delete", "x", noRedis}},
		},
		"trim": {
			exitUsage: {
				{"surplus"},
				{"--retain=1h", "--format=xml", noRedis},
				{redis},
				{"--retain=-1h", redis},
				{"--retain-events=10", redis},
				{"--retain=1h", "--ignore=state", redis},
				{"--retain=1h", redis, typo},
			},
			exitUnavailable: {{"--retain=1h", noRedis}, {"--retain=1h", wrongPassword}},
		},
		"parked": {
			exitUsage: {
				{"foo"},
				{"list", "surplus"},
				{"list", "--format=xml", noRedis},
				{"list", redis, typo},
				{"retry", redis},
				{"drop", redis, "--all", "1-1"},
				{"drop", redis, "x"},
				{"retry", redis, "--all", "--group=g"},
				{"retry", redis, typo, "--all"},
			},
			exitUnavailable: {{"list", noRedis}, {"list", wrongPassword}, {"retry", "--all", noRedis}, {"drop", "1-1", noRedis}},
		},
		// Its other codes mean something else; TestDoctor has them.
		"doctor": {
			exitUsage: {
				{"surplus"},
				{"--format=xml", noRedis},
				{"--skip=foo", noRedis},
				{"--redis-url=http://127.0.0.1"},
				{redis, "--namespace=a b"},
				{redis, typo, "--database-url=nonsense://"},
				{"--namespace=x"},
			},
		},
		"keys": {
			exitUsage:  {{"foo"}, {"new"}, {"new", "a b"}, {"new", "a", "surplus"}},
			exitFailed: {{"new", "a", "--out", existing}},
		},
		"token": {
			exitUsage:  {{"foo"}, {"new"}, {"new", "--name", "a", "--role", "king"}, {"new", "--name", "a/b", "--role", "agent"}, {"new", "surplus", "--name=a", "--role=agent"}},
			exitFailed: {{"new", "--name", "a", "--role", "agent", "--out", existing}},
		},
		"policy": {
			exitUsage: {{"foo"}, {"test"}, {"test", existing}, {"test", existing, "surplus"}, {"test", empty}},
		},
		"init": {
			exitUsage:  {{"foo"}, {"claude-code", "surplus"}, {"claude-code", "--url=nowhere://x"}, {"claude-code", "--url=http://a:b@c"}, {"claude-code", "--roles="}},
			exitFailed: {{"claude-code", "--write", "--dir=" + existing}},
		},
		"work": {
			exitUsage:       {{}, {"--nonsense", "--", "true"}, {"--concurrency=0", "--", "true"}, {"--", existing}},
			exitUnavailable: {{noCoordinator, "--", "true"}, {"--url=" + stranger.URL, "--", "true"}},
		},
		"mcp":     {exitUsage: {{"surplus"}, {"--nonsense"}}},
		"version": {exitUsage: {{"surplus"}, {"--nonsense"}}},
	}
	for _, c := range newRoot().Commands() {
		if all[c.Name()] == nil {
			t.Errorf("%s is not in this table", c.Name())
		}
	}
	for name, codes := range all {
		for want, lines := range codes {
			for _, args := range lines {
				if name != "" {
					args = append([]string{name}, args...)
				}
				t.Run(strings.Join(args, " "), func(t *testing.T) {
					t.Parallel()
					if got := execute(t, nil, args...); got.code != want || got.log == "" {
						t.Errorf("it ended with %d, want %d: %s", got.code, want, got.log)
					}
				})
			}
		}
	}
	if got := execute(t, []string{"CB_LOG_LEVEL=loud"}, "verify"); got.code != exitUsage {
		t.Errorf("a variable that cannot be read: %d: %s", got.code, got.log)
	}
}

// archivedElsewhere returns a namespace whose log has an archive in another folder.
func archivedElsewhere(t *testing.T) string {
	t.Helper()
	l := logtest.New(t)
	l.Add(events.TypeTaskCreated, "{}", 1)
	space, err := keys.New(l.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	if err := l.Client.HSet(t.Context(), space.Log(), "identity", "x", "archive", "another", "archivePlace", "host:/there").Err(); err != nil {
		t.Fatal(err)
	}
	return l.Namespace
}

// wrongPassword returns the URL of a Redis with a wrong password.
func wrongPassword(t *testing.T) string {
	t.Helper()
	u, err := url.Parse(testenv.Redis(t).URL())
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword("default", "wrong")
	return u.String()
}

// An error about an unknown name lists the known ones.
func TestTyposAreNamed(t *testing.T) {
	t.Parallel()
	redis := "--redis-url=" + testenv.Redis(t).URL()
	for want, args := range map[string][]string{
		"state, metrics, tasks, events, all": {"rebuild", "foo"},
		"task.created":                       {"replay", "--types", "task.foo"},
		"task.deleted":                       {"tail", "--types", "task.foo"},
		"unknown command":                    {"token", "foo"},
		"version takes no arguments":         {"version", "foo"},
		"call METHOD [PARAMS]":               {"call"},
		"Redis rejects the password of user": {"verify", "--redis-url", wrongPassword(t)},
		`namespace "typo1" has no log`:       {"tail", redis, "--namespace", "typo1"},
		`namespace "typo2" has no log`:       {"replay", redis, "--namespace", "typo2"},
		`namespace "typo3" has no log`:       {"verify", redis, "--namespace", "typo3"},
		`namespace "typo4" has no log`:       {"rebuild", "all", redis, "--namespace", "typo4"},
	} {
		if got := execute(t, nil, args...); got.code < exitUsage || !strings.Contains(got.log, want) {
			t.Errorf("%q ended with %d and does not say %q: %s", args, got.code, want, got.log)
		}
	}
}
