package system_test

import (
	"context"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/testenv"
)

// someStores are stores with a warning each.
type someStores struct{}

func (someStores) Redis(context.Context) api.RedisInfo {
	return api.RedisInfo{Status: "ok", Version: "7.4.1", Warnings: []string{"Redis forgets."}}
}

func (someStores) Postgres(context.Context) *api.PostgresInfo {
	return &api.PostgresInfo{Status: "ok", Version: "16.4", Warnings: []string{}}
}

func TestInfo(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Version: "v1.2.3", TraceURL: "https://jaeger/trace/{trace}", Stores: someStores{}}, func(t *testing.T, f *fleettest.Fleet) {
		want := api.InfoResult{
			Version: "v1.2.3", Namespace: f.Keys.Namespace(), TraceURL: "https://jaeger/trace/{trace}", Caller: api.InfoCaller{Roles: api.Roles()},
			Stores: api.InfoStores{Redis: someStores{}.Redis(t.Context()), Postgres: someStores{}.Postgres(t.Context())},
		}
		if diff := cmp.Diff(want, fleettest.Decoded[api.InfoResult](t, f.OK("system.info", `{}`))); diff != "" {
			t.Errorf("-want +got\n%s", diff)
		}
		f.With(func(o *commands.Options) { o.Stores, o.TraceURL, o.Tokens = nil, "", fleettest.FleetTokens() })
		for name, caller := range map[string]api.InfoCaller{
			"audit": {Name: "audit", Roles: []string{api.RoleAuditor}},
			"alice": {Name: "alice", Roles: []string{api.RoleAgent}},
		} {
			got := fleettest.Decoded[api.InfoResult](t, f.May(name, "system.info", `{}`))
			if diff := cmp.Diff(caller, got.Caller); diff != "" || !got.Authentication || got.TraceURL != "" || got.Stores.Postgres != nil || got.Stores.Redis.Version != "unknown" {
				t.Errorf("%s: %+v -want +got\n%s", name, got, diff)
			}
		}
		if f.Seq() != 0 {
			t.Error("system.info emitted an event")
		}
	})
}

// A caller learns who it is, and what is wrong, also while Redis does not reply.
func TestInfoWithoutRedis(t *testing.T) {
	t.Parallel()
	server := testenv.OwnRedis(t, devstack.RedisOptions{})
	f := fleettest.New(t, fleettest.ClientOf(t, testenv.ClientOf(t, server)), commands.Options{Stores: someStores{}})
	f.OK("system.info", `{}`)
	if err := server.Kill(); err != nil {
		t.Fatal(err)
	}
	got := fleettest.Decoded[api.InfoResult](t, f.OK("system.info", `{}`))
	if !strings.HasPrefix(got.Stores.Redis.Status, "unavailable") || len(got.Caller.Roles) != 4 || got.Coordinators != 0 {
		t.Errorf("answered %+v", got)
	}
}
