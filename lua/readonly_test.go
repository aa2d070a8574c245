package lua

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/testenv"
)

// When an address moves to a new master, the client closes a connection to the old one as soon as
// it replies READONLY. The error of a script keeps this code, also in a call without a rate limit.
func TestADemotedMasterIsLeft(t *testing.T) {
	t.Parallel()
	before, after := testenv.OwnRedis(t, devstack.RedisOptions{}), testenv.OwnRedis(t, devstack.RedisOptions{})
	var moved atomic.Bool
	client := redis.NewClient(&redis.Options{
		Addr: "moves:6379", MaxRetries: -1,
		Dialer: func(ctx context.Context, network, _ string) (net.Conn, error) {
			addr := before.Addr()
			if moved.Load() {
				addr = after.Addr()
			}
			return new(net.Dialer).DialContext(ctx, network, addr)
		},
		CredentialsProvider: func() (string, string) {
			if moved.Load() {
				return "", after.Password()
			}
			return "", before.Password()
		},
	})
	t.Cleanup(func() { _ = client.Close() })
	r := NewRunner(client)
	log := "{" + testenv.Namespace(t) + "}:log"
	create := func() error {
		_, err := r.Run(t.Context(), Named("create_task"), []string{log},
			`"actor":"a","cause":null,"trace":null`, "task.create:a", 0, "", "", "x", 50, "", "", "", "", "")
		return err
	}
	if err := create(); err != nil {
		t.Fatal(err)
	}
	moved.Store(true)
	host, port, _ := strings.Cut(after.Addr(), ":")
	if err := testenv.ClientOf(t, before).Do(t.Context(), "REPLICAOF", host, port).Err(); err != nil {
		t.Fatal(err)
	}
	testenv.Eventually(t, patience, func() (bool, string) {
		err := create()
		if err != nil && !errors.Is(err, ErrUnavailable) {
			t.Fatal(err)
		}
		return err == nil, fmt.Sprint(err)
	})
}

// A runner that only reads needs no right to write, and works on a replica.
func TestReadOnlyRunner(t *testing.T) {
	t.Parallel()
	master := testenv.OwnRedis(t, devstack.RedisOptions{})
	host, port, _ := strings.Cut(master.Addr(), ":")
	replica := testenv.OwnRedis(t, devstack.RedisOptions{Extra: []string{
		"replicaof " + host + " " + port, "masterauth " + master.Password(), "repl-diskless-sync-delay 0",
	}})
	log := testenv.Namespace(t) + ":log"
	reads := script("--- @readonly\nreturn { ARGV[1], redis.call('HGET', KEYS[1], 'seq') }\n")
	admin := testenv.ClientOf(t, master)
	if err := admin.HSet(t.Context(), log, "seq", 7).Err(); err != nil {
		t.Fatal(err)
	}
	if n, err := admin.Wait(t.Context(), 1, patience).Result(); err != nil || n != 1 {
		t.Fatalf("%d replicas, %v", n, err)
	}
	for _, server := range []*devstack.Redis{master, replica} {
		if err := testenv.ClientOf(t, server).Do(t.Context(), "ACL", "SETUSER", "reads", "on", ">sesame", "%R~*", "-@all", "+@read", "+@connection",
			"+eval_ro", "+evalsha_ro").Err(); err != nil {
			t.Fatal(err)
		}
		client := redis.NewClient(&redis.Options{Addr: server.Addr(), Username: "reads", Password: "sesame", MaxRetries: -1, DisableIdentity: true})
		t.Cleanup(func() { _ = client.Close() })
		scripts := NewReadOnlyRunner(client).On(log)
		for range 2 { // the script's source, then its hash
			if reply, err := scripts.Run(t.Context(), reads, "x"); err != nil || fmt.Sprint(reply) != "[x 7]" {
				t.Errorf("%v, %v", reply, err)
			}
		}
		for _, reply := range scripts.RunMany(t.Context(), reads, [][]any{{"a"}, {"b"}}) {
			if reply.Err != nil {
				t.Error(reply.Err)
			}
		}
		if _, err := scripts.Run(t.Context(), counts(), "x"); err == nil || !strings.Contains(err.Error(), "this runner only reads") {
			t.Errorf("a script that writes: %v", err)
		}
		if reply := scripts.RunMany(t.Context(), counts(), [][]any{{"x"}})[0]; reply.Err == nil || !strings.Contains(reply.Err.Error(), "this runner only reads") {
			t.Errorf("a script that writes, many times: %+v", reply)
		}
		lies := script("--- @readonly\nreturn redis.call('SET', KEYS[1], 1)\n")
		if _, err := scripts.Run(t.Context(), lies, "x"); err == nil {
			t.Error("a script wrote")
		}
		if _, err := NewRunner(client).On(log).Run(t.Context(), reads, "x"); !errors.Is(err, ErrUnavailable) || Cause(err) != forbidden {
			t.Errorf("EVALSHA: %v", err)
		}
	}
}
