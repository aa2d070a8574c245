package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// An auditor keeps a checkpoint, finds a tampered event, and checks a proof offline, as docs/audit.md
// leads through.
func TestSealVerifyAndProve(t *testing.T) {
	t.Parallel()
	dir, namespace := t.TempDir(), testenv.Namespace(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	if r := execute(t, nil, "keys", "new", "example.com/fleet", "--out", at("fleet.key")); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	env := []string{"CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_NAMESPACE=" + namespace, "CB_LISTEN=127.0.0.1:0"}
	serve := launch(t, env, "serve")
	url := serve.address(t)
	for i := range 20 {
		if r := execute(t, nil, "call", "--url", url, "task.create", fmt.Sprintf(`{"text":"task %d"}`, i)); r.code != 0 {
			t.Fatalf("%+v", r)
		}
	}
	seal := func(more ...string) result {
		return execute(t, env, append([]string{"seal", "--once", "--seal-dir", at("seals"), "--seal-key", at("fleet.key")}, more...)...)
	}
	if r := seal(); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	verify := func(code int, says string, more ...string) {
		t.Helper()
		r := execute(t, env, append([]string{"verify", "--seals", at("seals"), "--key", at("fleet.pub")}, more...)...)
		if r.code != code || !strings.Contains(r.out+r.log, says) {
			t.Errorf("verify %v ended with %d and does not say %q:\n%s%s", more, r.code, says, r.out, r.log)
		}
	}
	verify(0, "OK: the log is what was sealed.", "--save", at("kept"))
	prove := execute(t, env, "prove", "7", "--seals", at("seals"), "--key", at("fleet.pub"), "--out", at("proof"))
	if prove.code != 0 {
		t.Fatalf("%+v", prove)
	}
	check := func(code int, says string) {
		t.Helper()
		r := execute(t, nil, "prove", "--check", at("proof"), "--key", at("fleet.pub"))
		if r.code != code || !strings.Contains(r.out+r.log, says) {
			t.Errorf("%+v, want %d and %q", r, code, says)
		}
	}
	check(0, `"text":"task 6"`)
	if r := execute(t, nil, "call", "--url", url, "task.create", `{"text":"later"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	verify(0, "1 events are not sealed yet", "--since", at("kept"))
	if r := seal(); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	verify(0, "They contain the checkpoint of 20 leaves that you kept.", "--since", at("kept"))

	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	redis := testenv.Client(t)
	entries := redis.XRange(t.Context(), space.Events(), "-", "+").Val()
	// rewrite replaces the log by one that change makes of each entry; "" removes it.
	rewrite := func(change func(i int, data string) string) {
		t.Helper()
		redis.Del(t.Context(), space.Events())
		for i, e := range entries {
			data := change(i, fmt.Sprint(e.Values["data"]))
			if data == "" {
				continue
			}
			if err := redis.Do(t.Context(), "XADD", space.Events(), e.ID, "data", data).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, c := range []struct {
		says   string
		change func(i int, data string) string
	}{
		{"seq 7: changed: it was sealed as ", func(i int, data string) string {
			if i == 6 || i == 9 {
				return strings.Replace(data, "task ", "tusk ", 1)
			}
			return data
		}},
		{"seq 5: removed: it was sealed as ", func(i int, data string) string {
			if i == 4 {
				return ""
			}
			return data
		}},
		{"seq 19: removed: it was sealed as ", func(i int, data string) string {
			if i >= 18 {
				return ""
			}
			return data
		}},
	} {
		rewrite(c.change)
		verify(1, c.says)
		verify(1, "FAILED: the log is not what was sealed.")
	}
	rewrite(func(_ int, data string) string { return data })
	verify(0, "OK")
	// An entry between two events.
	last := entries[len(entries)-1].ID
	ms, seq, _ := strings.Cut(last, "-")
	if err := redis.Do(t.Context(), "XADD", space.Events(), ms+"-"+seq+"0", "data", "{}").Err(); err != nil {
		t.Fatal(err)
	}
	verify(1, "inserted: entry "+ms+"-"+seq+"0 of the stream is no event")
	redis.XDel(t.Context(), space.Events(), ms+"-"+seq+"0")

	// The seals themselves.
	verify(1, "is not signed by", "--key", "example.com/fleet+9e270114+ARx/oLvgj80xqddVaHZbTz2Bw9HZQa+2gyi6pTyNbq++")
	bundle := at("seals/tile/entries/000.p/21")
	text, err := os.ReadFile(bundle)
	if err != nil {
		t.Fatal(err)
	}
	text[40] ^= 1
	if err := os.WriteFile(bundle, text, 0o600); err != nil {
		t.Fatal(err)
	}
	verify(1, "the seals do not hold: the seals are damaged: leaf 0 of tile/entries/000.p/21 does not fit the tree")
	proof, err := os.ReadFile(at("proof"))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(at("proof"), []byte(strings.Replace(string(proof), "index 6", "index 5", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	check(1, "the proof does not hold for this event")
}
