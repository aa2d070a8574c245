package server

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/mod/sumdb/note"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/auth"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/internal/testenv"
)

// sealing returns a folder for seals and a new key.
func sealing(t *testing.T) (dir, key string) {
	t.Helper()
	folder := t.TempDir()
	secret, public, err := sealtree.GenerateKey("example.com/fleet")
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(folder, "fleet.key")
	if err := os.WriteFile(key, []byte(secret), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(folder, "fleet.pub"), []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	return filepath.Join(folder, "seals"), key
}

// sealed returns the size of the published checkpoint.
func sealed(t *testing.T, dir, key string) int64 {
	t.Helper()
	public, err := os.ReadFile(strings.TrimSuffix(key, ".key") + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	verifier, err := note.NewVerifier(string(public))
	if err != nil {
		t.Fatal(err)
	}
	signed, err := sealtree.OpenDir(dir).Checkpoint(context.Background())
	if err != nil {
		return -1
	}
	tree, err := sealtree.Open(signed, verifier)
	if err != nil {
		t.Fatal(err)
	}
	return tree.N
}

// A coordinator seals the log while commands run, serves the seals, and seals all of the log before
// it stops. Another coordinator shows how far the seals are.
func TestACoordinatorSeals(t *testing.T) {
	t.Parallel()
	var dir, key string
	cfg := settings(t, func(c *config.Config) {
		dir, key = sealing(t)
		c.SealDir, c.SealKey = dir, key
	})
	server, err := Start(t.Context(), cfg, Options{Logger: quiet})
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, server.Addr())
	c.ready(t)
	for range 5 {
		c.create(t, params{"text": "x"})
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		_, r := c.readyz(t)
		return !r.Degraded && r.Seals != nil && r.Seals.Holder && r.Seals.Size == 5 && r.Seals.Behind == 0, strings.Join(r.Reasons, "; ")
	})
	plain := *cfg
	plain.SealDir, plain.SealKey = "", ""
	other := start(t, &plain)
	if _, r := other.readyz(t); r.Seals == nil || r.Seals.Holder || r.Seals.Size != 5 || r.Degraded {
		t.Errorf("the other coordinator: %+v", r)
	}
	if status, _ := other.get(t, "/tlog/checkpoint"); status != http.StatusNotFound {
		t.Errorf("without a folder, /tlog/ answers %d", status)
	}
	for path, want := range map[string]int{
		"/tlog/checkpoint": 200, "/tlog/tile/0/000.p/5": 200, "/tlog/tile/entries/000.p/5": 200, "/tlog/tile/0/000.p/3": 200,
		"/tlog/tile/0/000": 404, "/tlog/tile/0/000.p/6": 404, "/tlog/.seal/log.json": 404, "/tlog/tile/0/../../.seal/lock": 404, "/tlog/": 404,
	} {
		if status, body := c.get(t, path); status != want {
			t.Errorf("%s answers %d: %.100s", path, status, body)
		}
	}
	c.create(t, params{"text": "x"})
	if err := server.Stop(context.Background()); err != nil {
		t.Fatal(err)
	}
	if n := sealed(t, dir, key); n != 6 {
		t.Errorf("%d events are sealed after the stop, of 6", n)
	}
}

// If the log loses sealed events, every coordinator says so, also one that starts later, and commands
// go on.
func TestSealsOfARolledBackLog(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.SealDir, c.SealKey = sealing(t) })
	c := start(t, cfg)
	c.ready(t)
	for range 5 {
		c.create(t, params{"text": "x"})
	}
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		_, r := c.readyz(t)
		return r.Seals != nil && r.Seals.Size == 5, strings.Join(r.Reasons, "; ")
	})
	redis, space := openAs(t, cfg.RedisURL, cfg.Namespace), keysOf(t, cfg)
	last := redis.XRevRangeN(t.Context(), space.Events(), "+", "-", 1).Val()[0]
	if err := redis.XDel(t.Context(), space.Events(), last.ID).Err(); err != nil {
		t.Fatal(err)
	}
	c.create(t, params{"text": "x"})
	plain := *cfg
	plain.SealDir, plain.SealKey = "", ""
	for _, each := range []*client{c, start(t, &plain)} {
		testenv.Eventually(t, 20*time.Second, func() (bool, string) {
			_, r := each.readyz(t)
			return r.Ready && r.Degraded && strings.Contains(strings.Join(r.Reasons, ";"), "the log is not sealed any more: "), strings.Join(r.Reasons, "; ")
		})
	}
}

// Where tokens are on, only those of auditors, operators and admins read the seals.
func TestWhoMayReadTheSeals(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "tokens.yaml")
	var entries strings.Builder
	secrets := map[string]string{"": ""}
	for _, role := range api.Roles() {
		entry, secret, err := auth.NewEntry(api.Token{Name: role, Roles: []string{role}})
		if err != nil {
			t.Fatal(err)
		}
		entries.WriteString(entry)
		secrets[role] = secret
	}
	if err := os.WriteFile(file, []byte(entries.String()), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg := settings(t, func(c *config.Config) {
		c.SealDir, c.SealKey = sealing(t)
		c.AuthFile = file
	})
	c := start(t, cfg)
	want := map[string]int{"": 401, api.RoleAgent: 403, api.RoleOperator: 200, api.RoleAdmin: 200, api.RoleAuditor: 200}
	for role, secret := range secrets {
		testenv.Eventually(t, 10*time.Second, func() (bool, string) {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, c.url+"/tlog/checkpoint", nil)
			if err != nil {
				t.Fatal(err)
			}
			if secret != "" {
				request.Header.Set("Authorization", "Bearer "+secret)
			}
			response, err := c.http.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			_ = response.Body.Close()
			return response.StatusCode == want[role], fmt.Sprintf("%q: %d", role, response.StatusCode)
		})
	}
}
