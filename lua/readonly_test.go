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
