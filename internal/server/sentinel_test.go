package server

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// watched is a master, its replica, and the three sentinels that monitor them.
type watched struct {
	master, replica *devstack.Redis
	sentinels       []*redis.SentinelClient
	url             string
}

// watch starts the servers. A Redis server becomes a sentinel by the name it is started with.
func watch(t *testing.T) *watched {
	t.Helper()
	auth := []string{"masterauth " + sharedPassword, "repl-diskless-sync-delay 0"}
	w := &watched{master: belonging(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always", Extra: auth})}
	host, port, err := net.SplitHostPort(w.master.Addr())
	if err != nil {
		t.Fatal(err)
	}
	w.replica = belonging(t, devstack.RedisOptions{
		AppendOnly: true, AppendFsync: "always", Extra: append([]string{"replicaof " + host + " " + port}, auth...),
	})
	server, flavour, err := devstack.FindRedis()
	if err != nil {
		t.Fatal(err)
	}
	sentinel := filepath.Join(t.TempDir(), flavour+"-sentinel")
	if err := os.Symlink(server, sentinel); err != nil {
		t.Fatal(err)
	}
	var addrs []string
	for range 3 {
		s := belonging(t, devstack.RedisOptions{Binary: sentinel, Extra: []string{
			"sentinel monitor main " + host + " " + port + " 2", "sentinel auth-pass main " + sharedPassword,
			"sentinel down-after-milliseconds main 1000", "sentinel failover-timeout main 5000",
		}})
		client := redis.NewSentinelClient(&redis.Options{Addr: s.Addr(), Password: sharedPassword})
		t.Cleanup(func() { _ = client.Close() })
		w.sentinels, addrs = append(w.sentinels, client), append(addrs, s.Addr())
	}
	for _, s := range w.sentinels {
		testenv.Eventually(t, 30*time.Second, func() (bool, string) {
			state, err := s.Master(t.Context(), "main").Result()
			return state["num-slaves"] == "1" && state["num-other-sentinels"] == "2", fmt.Sprint(state, err)
		})
	}
	w.linked(t, "up")
	w.url = "redis+sentinel://default:" + sharedPassword + "@" + strings.Join(addrs, ",") + "?master=main&sentinel_password=" + sharedPassword
	return w
}

// linked waits until the replica's link to its master is up or down.
func (w *watched) linked(t *testing.T, want string) {
	t.Helper()
	replica := testenv.ClientOf(t, w.replica)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		info, err := replica.Info(t.Context(), "replication").Result()
		return strings.Contains(info, "master_link_status:"+want), fmt.Sprint(info, err)
	})
}

// follow waits until every sentinel says that a server is the master. Until then a program that starts
// may ask one that still says the other, and its connections are closed when that one learns better.
func (w *watched) follow(t *testing.T, master *devstack.Redis) {
	t.Helper()
	for _, s := range w.sentinels {
		testenv.Eventually(t, 30*time.Second, func() (bool, string) {
			addr, err := s.GetMasterAddrByName(t.Context(), "main").Result()
			return strings.Join(addr, ":") == master.Addr(), fmt.Sprint(addr, err)
		})
	}
}

// unlink disconnects the replica from its master.
func (w *watched) unlink(t *testing.T) {
	t.Helper()
	if err := testenv.ClientOf(t, w.replica).ConfigSet(t.Context(), "masterauth", "wrong").Err(); err != nil {
		t.Fatal(err)
	}
	if err := testenv.ClientOf(t, w.master).Do(t.Context(), "CLIENT", "KILL", "TYPE", "replica").Err(); err != nil {
		t.Fatal(err)
	}
	w.linked(t, "down")
}

// The master dies with a second of work that its replica has not received, and Sentinel promotes
// the replica. Commands return typed errors until then, and work again without intervention. What
// was lost is lost everywhere, and all derived state agrees.
func TestSentinelFailsOver(t *testing.T) {
	t.Parallel()
	w := watch(t)
	cfg := settings(t, func(c *config.Config) { c.RedisURL, c.DatabaseURL = w.url, testenv.Postgres(t) })
	c := start(t, cfg)
	c.ready(t)
	work(t, c)
	agree(t, c, cfg)
	told := testenv.ClientOf(t, w.replica)
	testenv.Eventually(t, 10*time.Second, func() (bool, string) {
		heard, here := told.HGet(t.Context(), keysOf(t, cfg).Log(), "seq").Val(), redisOf(t, cfg).HGet(t.Context(), keysOf(t, cfg).Log(), "seq").Val()
		return heard == here, "the replica is at " + heard + " of " + here
	})

	w.unlink(t)
	for range 20 {
		c.create(t, params{"text": "lost"})
	}
	caughtUp(t, c)
	if err := w.master.Kill(); err != nil {
		t.Fatal(err)
	}
	troubles := 0
	testenv.Eventually(t, 60*time.Second, func() (bool, string) {
		_, err := inTime(t, c, "task.create", params{"text": "later"})
		if err != nil && !passing(err) {
			t.Fatalf("during the failover: %v", err)
		}
		if err != nil {
			troubles++
		}
		return err == nil, fmt.Sprint(err)
	})
	if troubles == 0 {
		t.Error("nobody noticed that the master was gone")
	}
	w.follow(t, w.replica)
	testenv.Eventually(t, 20*time.Second, func() (bool, string) {
		got := call[page](t, c, "task.list", params{"limit": 1})
		return got.TotalCount == 14, fmt.Sprintf("%d tasks are listed, not those 13 that were kept and the later one", got.TotalCount)
	})
	agree(t, c, cfg)

	// The old master comes back as the replica of the new one, and what only it had is gone.
	if err := w.master.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	old := testenv.ClientOf(t, w.master)
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		info, err := old.Info(t.Context(), "replication").Result()
		return strings.Contains(info, "role:slave") && strings.Contains(info, "master_link_status:up"), fmt.Sprint(info, err)
	})
	work(t, c)
	agree(t, c, cfg)

	// A failover on request, while agents create tasks.
	var created atomic.Int64
	var agents sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	defer agents.Wait()
	defer stop()
	for range 4 {
		agents.Go(func() {
			for ctx.Err() == nil {
				switch _, err := inTime(t, c, "task.create", params{"text": "meanwhile"}); {
				case err == nil:
					created.Add(1)
				case !passing(err):
					t.Errorf("during a failover: %v", err)
				}
			}
		})
	}
	progress := func(more int64) {
		t.Helper()
		want := created.Load() + more
		testenv.Eventually(t, 30*time.Second, func() (bool, string) { return created.Load() >= want, "nothing is created" })
	}
	progress(40)
	if err := w.sentinels[0].Failover(t.Context(), "main").Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		info, err := old.Info(t.Context(), "replication").Result()
		return strings.Contains(info, "role:master"), fmt.Sprint(info, err)
	})
	progress(40)
	stop()
	agents.Wait()
	w.follow(t, w.master)
	agree(t, c, cfg)
}
