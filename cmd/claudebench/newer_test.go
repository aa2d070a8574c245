package main

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// An older program reads nothing that a newer one has written: each command names the version it
// needs, and changes nothing.
func TestANewerLogIsRefused(t *testing.T) {
	t.Parallel()
	namespace := testenv.Namespace(t)
	stores := []string{"CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_NAMESPACE=" + namespace, "CB_LISTEN=127.0.0.1:0"}
	coordinator := launch(t, stores, "serve")
	if r := execute(t, []string{"CB_URL=" + coordinator.address(t)}, "call", "task.create", `{"text":"one"}`); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	coordinator.signal(t, os.Interrupt)
	if code := coordinator.ended(t); code != 0 {
		t.Fatalf("serve ended with %d", code)
	}
	space, err := keys.New(namespace)
	if err != nil {
		t.Fatal(err)
	}
	client := testenv.Client(t)
	if err := client.HSet(t.Context(), space.Log(), "format", events.Format+1, "program", "v9.1.0").Err(); err != nil {
		t.Fatal(err)
	}
	stored := func() string {
		return fmt.Sprint(client.HGetAll(t.Context(), space.Log()), client.HGetAll(t.Context(), space.State()), client.HGetAll(t.Context(), space.Metrics("global")))
	}
	before := stored()
	for _, args := range [][]string{{"serve"}, {"rebuild", "all"}, {"verify"}, {"replay"}, {"tail", "--after", "0"}} {
		r := execute(t, stores, args...)
		if r.code != exitUnavailable || r.out != "" || !strings.Contains(r.log, "use version v9.1.0 or a later version") {
			t.Errorf("%v: %+v", args, r)
		}
		if after := stored(); after != before {
			t.Errorf("%v has made %s of %s", args, after, before)
		}
	}
}
