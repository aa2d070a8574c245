package server

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/config"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// sharedPassword is the password of servers that belong together.
const sharedPassword = "3f0c5a7d9b1e48c2a6d4e8f0b2c4a6e8"

// belonging starts a private Redis with the shared password.
func belonging(t *testing.T, o devstack.RedisOptions) *devstack.Redis {
	t.Helper()
	o.Dir = t.TempDir()
	if err := os.WriteFile(filepath.Join(o.Dir, "password"), []byte(sharedPassword), 0o600); err != nil {
		t.Fatal(err)
	}
	return testenv.OwnRedis(t, o)
}

const (
	masters  = 3
	allSlots = 16384
)

// startCluster starts a cluster of three masters, each with a third of the slots.
func startCluster(t *testing.T) (servers []*devstack.Redis, nodes []*redis.Client) {
	t.Helper()
	ctx := t.Context()
	for n := range masters {
		server := belonging(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always", Extra: []string{
			"cluster-enabled yes", "cluster-node-timeout 1000", "cluster-require-full-coverage no",
		}})
		node := testenv.ClientOf(t, server)
		if err := node.Do(ctx, "CLUSTER", "SET-CONFIG-EPOCH", n+1).Err(); err != nil {
			t.Fatal(err)
		}
		if err := node.ClusterAddSlotsRange(ctx, n*allSlots/masters, (n+1)*allSlots/masters-1).Err(); err != nil {
			t.Fatal(err)
		}
		servers, nodes = append(servers, server), append(nodes, node)
	}
	for _, server := range servers[1:] {
		host, port, err := net.SplitHostPort(server.Addr())
		if err == nil {
			err = nodes[0].ClusterMeet(ctx, host, port).Err()
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, node := range nodes {
		testenv.Eventually(t, 20*time.Second, func() (bool, string) {
			info, err := node.ClusterInfo(ctx).Result()
			whole := strings.Contains(info, "cluster_state:ok") && strings.Contains(info, fmt.Sprint("cluster_slots_ok:", allSlots)) &&
				strings.Contains(info, fmt.Sprint("cluster_known_nodes:", masters))
			return whole, fmt.Sprint(info, err)
		})
	}
	return servers, nodes
}

// A cluster of three masters with two namespaces on two of them: ordinary work with all derived
// state, a flush of one namespace that does not affect the other, and the death of one master while
// the other namespace continues.
func TestCluster(t *testing.T) {
	t.Parallel()
	servers, nodes := startCluster(t)
	addrs := make([]string, masters)
	for n, server := range servers {
		addrs[n] = server.Addr()
	}
	var cfgs []*config.Config
	var fleets []*client
	for n := range 2 {
		cfg := settings(t, func(c *config.Config) {
			c.RedisURL = "redis://default:" + sharedPassword + "@" + strings.Join(addrs, ",")
			c.DatabaseURL = testenv.Postgres(t)
		})
		for on(t, nodes[0], cfg) != n {
			cfg.Namespace = testenv.Namespace(t)
		}
		c := start(t, cfg)
		c.ready(t)
		cfgs, fleets = append(cfgs, cfg), append(fleets, c)
	}
	for n, c := range fleets {
		work(t, c)
		agree(t, c, cfgs[n])
		for m, node := range nodes {
			keys := 0
			for found := node.Scan(t.Context(), 0, keysOf(t, cfgs[n]).Prefix()+"*", 1000).Iterator(); found.Next(t.Context()); {
				keys++
			}
			if (keys > 0) != (m == n) {
				t.Errorf("%d keys of namespace %d are on node %d", keys, n, m)
			}
		}
	}

	flushed := call[struct {
		Redis    struct{ KeysDeleted int }
		Postgres struct{ TasksDeleted int }
	}](t, fleets[0], "system.flush", params{"confirm": confirm})
	if flushed.Redis.KeysDeleted < 10 || flushed.Postgres.TasksDeleted != 13 {
		t.Errorf("flushed: %+v", flushed)
	}
	if got := call[page](t, fleets[1], "task.list", params{}); got.TotalCount != 13 {
		t.Errorf("the flush of another namespace has left %d tasks", got.TotalCount)
	}
	work(t, fleets[0])
	for n, c := range fleets {
		caughtUp(t, c)
		verified(t, cfgs[n])
	}

	if err := servers[1].Kill(); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		fleets[0].create(t, params{"text": "goes on"})
		if _, err := inTime(t, fleets[1], "task.create", params{"text": "x"}); !passing(err) {
			t.Errorf("on a node that is gone: %v", err)
		}
	}
	if err := servers[1].Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, 30*time.Second, func() (bool, string) {
		_, err := inTime(t, fleets[1], "task.create", params{"text": "back"})
		if err != nil && !passing(err) {
			t.Fatal(err)
		}
		return err == nil, fmt.Sprint(err)
	})
	for n, c := range fleets {
		caughtUp(t, c)
		verified(t, cfgs[n])
	}
}

// on returns the index of the master of a namespace.
func on(t *testing.T, node *redis.Client, cfg *config.Config) int {
	t.Helper()
	slot, err := node.ClusterKeySlot(t.Context(), keysOf(t, cfg).Log()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return int(slot) * masters / allSlots
}

// work does ordinary work on 13 tasks.
func work(t *testing.T, c *client) {
	t.Helper()
	for _, id := range []string{"w1", "w2", "w3"} {
		call[object](t, c, "system.register", params{"id": id, "roles": []string{"worker", "gpu"}})
	}
	for n := range 8 {
		c.create(t, params{"text": "work", "priority": 10 * n, "metadata": params{"roles": []string{"gpu"}}})
	}
	call[object](t, c, "system.batch.process", params{"batchId": "b", "instanceId": "w1", "items": []int{1, 2, 3, 4, 5}})
	call[object](t, c, "system.quorum.vote", params{"instanceId": "w1", "decision": "d", "value": 1, "totalInstances": 1})
	for _, id := range []string{"w1", "w2"} {
		task := call[struct{ TaskID string }](t, c, "task.claim", params{"workerId": id})
		call[object](t, c, "task.complete", params{"id": task.TaskID, "workerId": id})
	}
	call[object](t, c, "task.claim", params{"workerId": "w3", "maxTasks": 3})
	call[object](t, c, "system.unregister", params{"instanceId": "w3"})
	for _, method := range []string{"system.health", "system.metrics", "system.get_state", "system.subscribers", "system.check_health"} {
		call[object](t, c, method, params{})
	}
}
