package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/sealtree"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A sealer that is killed again and again while events come publishes no two trees: the last one
// contains every checkpoint that was there at a kill.
func TestSealKilled(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := filepath.Join(dir, "fleet.key")
	if r := execute(t, nil, "keys", "new", "example.com/fleet", "--out", key); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	env := []string{"CB_REDIS_URL=" + testenv.Redis(t).URL(), "CB_NAMESPACE=" + testenv.Namespace(t), "CB_LISTEN=127.0.0.1:0", "CB_RATE_LIMITS=off"}
	address := launch(t, env, "serve").address(t)
	if !strings.Contains(address, "://") {
		address = "http://" + address
	}
	stop := make(chan struct{})
	var loading sync.WaitGroup
	loading.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			response, err := http.Post(address+"/rpc", "application/json", //nolint:noctx // ends with the test
				strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"task.create","params":{"text":"x"}}`))
			if err != nil {
				t.Error(err)
				return
			}
			_ = response.Body.Close()
		}
	})
	seals := []string{"--seal-dir", filepath.Join(dir, "seals"), "--seal-key", key}
	var kept []string
	last := ""
	for i := range 8 {
		sealer := launch(t, env, append([]string{"seal"}, seals...)...)
		var now string
		testenv.Eventually(t, 20*time.Second, func() (bool, string) {
			text, _ := sealtree.OpenDir(filepath.Join(dir, "seals")).Checkpoint(t.Context())
			now = string(text)
			return now != "" && now != last, "no new checkpoint: " + sealer.log.String()
		})
		sealer.signal(t, syscall.SIGKILL)
		sealer.ended(t)
		last = now
		file := filepath.Join(dir, fmt.Sprintf("kept-%d", i))
		if err := os.WriteFile(file, []byte(now), 0o600); err != nil {
			t.Fatal(err)
		}
		kept = append(kept, file)
	}
	close(stop)
	loading.Wait()
	if r := execute(t, env, append([]string{"seal", "--once"}, seals...)...); r.code != 0 {
		t.Fatalf("%+v", r)
	}
	for _, file := range kept {
		if r := execute(t, env, "verify", "--seals", filepath.Join(dir, "seals"), "--key", filepath.Join(dir, "fleet.pub"), "--since", file); r.code != 0 {
			t.Errorf("%s: %+v", file, r)
		}
	}
}
