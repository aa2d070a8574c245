package main

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/testenv"
)

// After `up` is killed, it starts again in its folder at once: the old servers end before the new
// ones touch the data, and no data is lost.
func TestUpStartsAgainAfterItsOwnDeath(t *testing.T) {
	t.Parallel()
	dir := dataFolder(t)
	settings := []string{"CB_DATA_DIR=" + dir, "CB_LISTEN=127.0.0.1:0"}
	pids := func() map[string]int {
		t.Helper()
		found := map[string]int{}
		for _, server := range []string{"redis", "postgres"} {
			text, err := os.ReadFile(filepath.Join(dir, server, "server.lock"))
			if err != nil {
				t.Fatal(err)
			}
			if found[server], err = strconv.Atoi(strings.TrimSpace(string(text))); err != nil || found[server] < 2 {
				t.Fatalf("%s: %q, %v", server, text, err)
			}
		}
		return found
	}
	// wait lists the tasks when the view has the last one.
	wait := func(url, last string) (all string) {
		t.Helper()
		testenv.Eventually(t, 20*time.Second, func() (bool, string) {
			all = listed(t, url)
			return strings.Contains(all, last), last + " is not in " + all
		})
		return all
	}
	var before, last string
	left := map[string]int{}
	for life := range 3 {
		up := launch(t, settings, "up")
		up.shows(t, "Ctrl-C stops everything.")
		url := regexp.MustCompile(`http://[0-9.:]+`).FindString(up.out.String())
		if life > 0 {
			if after := wait(url, last); after != before {
				t.Fatalf("after death %d:\n%s\nbefore:\n%s", life, after, before)
			}
		}
		// A server locks its folder as long as it lives, so the new servers could not have started
		// next to the old ones.
		for server, pid := range pids() {
			if pid == left[server] {
				t.Errorf("%s, process %d, outlives the `up` that started it", server, pid)
			}
		}
		left = pids()
		last = fmt.Sprintf("say hello %d", life)
		if r := execute(t, nil, "call", "--url", url, "task.create", fmt.Sprintf(`{"text":%q}`, last)); r.code != 0 {
			t.Fatalf("%+v", r)
		}
		before = wait(url, last)
		if r := execute(t, settings, "verify", "--quiet"); r.code != 0 {
			t.Errorf("verify: %+v", r)
		}
		if life == 2 {
			up.signal(t, os.Interrupt) // with its servers, so that the folder can be deleted
			if code := up.ended(t); code != 0 {
				t.Errorf("Ctrl-C: exit code %d\n%s", code, up.log)
			}
			return
		}
		up.signal(t, syscall.SIGKILL)
		up.ended(t)
	}
}
