package server

import (
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/events/archive"
	"github.com/claudebench/claudebench/internal/audit"
	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A coordinator archives. What Redis loses afterwards is still there for a verification. A flush waits
// until everything is archived, and deletes nothing of the archive.
func TestACoordinatorArchives(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.ArchiveDir = t.TempDir() })
	c := start(t, cfg)
	c.ready(t)
	rdb := redisOf(t, cfg)
	space, err := keys.New(cfg.Namespace)
	if err != nil {
		t.Fatal(err)
	}
	for range 30 {
		c.create(t, params{"text": "x"})
	}
	caughtUp(t, c)
	last := rdb.XRevRangeN(t.Context(), space.Events(), "+", "-", 1).Val()[0].ID
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		at := rdb.HGet(t.Context(), space.Log(), "archived").Val()
		return at == last, at
	})
	first := rdb.XRangeN(t.Context(), space.Events(), "-", "+", 20).Val()[19].ID
	id, err := events.ParseID(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := rdb.HSet(t.Context(), space.Log(), "base", id.Seq).Err(); err != nil {
		t.Fatal(err)
	}
	if err := rdb.XTrimMinID(t.Context(), space.Events(), first).Err(); err != nil {
		t.Fatal(err)
	}
	stored, err := archive.Open(cfg.ArchiveDir)
	if err != nil {
		t.Fatal(err)
	}
	defer stored.Close()
	report, err := audit.Verify(t.Context(), audit.Options{Redis: rdb, Keys: space, Archive: stored})
	if err != nil || !report.OK() || report.Base != 1 || report.Events != 30 {
		t.Errorf("%+v, %v", report, err)
	}
	if status, body := c.get(t, "/readyz"); status != http.StatusOK || strings.Contains(body, `"degraded":true`) {
		t.Errorf("%d %s", status, body)
	}
	c.create(t, params{"text": "just before the flush"})
	if _, err := c.ask("system.flush", params{"confirm": confirm}); err != nil {
		t.Fatal(err)
	}
	c.create(t, params{"text": "after it"})
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		_, last, err := stored.Bounds(t.Context())
		return err == nil && last.Seq == 33, last.String()
	})
	m, err := stored.Manifest()
	if err != nil || len(m.Gaps) != 0 || len(m.Flushes) != 1 || m.Flushes[0] != 32 {
		t.Errorf("%+v, %v", m, err)
	}
}

// An archive that is not the log's is not touched, and /readyz says so.
func TestAForeignArchiveIsRefused(t *testing.T) {
	t.Parallel()
	cfg := settings(t, func(c *config.Config) { c.ArchiveDir = t.TempDir() })
	w, err := archive.OpenWriter(cfg.ArchiveDir, archive.WriterConfig{Log: "another"})
	if err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	c := start(t, cfg)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		status, body := c.get(t, "/readyz")
		return status == http.StatusOK && strings.Contains(body, `"degraded":true`) && strings.Contains(body, "the log is not archived"), body
	})
}
