package commands_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

const (
	ownBatch = `{"batchId":"x","instanceId":%q,"items":[{"text":"one"},2]}`
	ownVote  = `{"decision":"d","instanceId":%q,"value":true,"totalInstances":3}`
)

// A token processes batches and votes only as its own instances. A rejected call leaves nothing
// behind.
func TestBatchesAndVotesBelongToTokens(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{Tokens: fleettest.FleetTokens()}, func(t *testing.T, f *fleettest.Fleet) {
		for who, ids := range map[string][]string{"alice": {"w", "w2"}, "bob": {"b", "north:2"}, "north": {"north:1"}} {
			for _, id := range ids {
				f.May(who, "system.register", `{"id":%q,"roles":[]}`, id)
			}
		}
		for method, params := range map[string]string{"system.batch.process": ownBatch, "system.quorum.vote": ownVote} {
			for _, who := range []string{"bob", "eve"} {
				f.MayNot(who, "the token that registered instance w, or the role operator or admin", method, params, "w")
			}
			for _, id := range []string{"w", "north", "North:1"} {
				f.MayNot("north", `this token may only name instances whose ids begin with "north:"`, method, params, id)
			}
			f.MayNot("north", "the token that registered instance north:2", method, params, "north:2") // the name has the prefix, but another token registered it
			f.MayNot("audit", method+" needs a token with the role agent", method, params, "w")
			_, err := f.As("bob", method, params, "nobody")
			if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeNotRegistered {
				t.Errorf("%s as nobody: %v", method, err)
			}
		}
		if left := append(f.Scan(f.Keys.Prefix()+"batch:*"), f.Scan(f.Keys.Prefix()+"quorum:*")...); len(left) > 0 {
			t.Errorf("who may not has left %q behind", left)
		}

		// The actor of each event is the name of the token with the instance, whoever owns the
		// instance.
		before := f.Seq()
		f.May("alice", "system.batch.process", ownBatch, "w")
		f.May("alice", "system.quorum.vote", ownVote, "w")
		f.May("root", "system.quorum.vote", ownVote, "w2")
		actors := []string{}
		for _, e := range f.Events()[before:] {
			actors = append(actors, e.Type+" "+e.Actor)
		}
		want := []string{
			"batch.started alice/w", "task.created alice/w", "task.created alice/w", "batch.progressed alice/w", "batch.completed alice/w",
			"quorum.voted alice/w", "quorum.voted root/w2", "quorum.decision.made root/w2",
		}
		if !slices.Equal(actors, want) {
			t.Errorf("the events and their actors are %q, want %q", actors, want)
		}
		// The tasks belong to the token that processed the batch.
		task := f.Zset(f.Keys.Open())[0]
		f.MayNot("bob", "the token that created task "+task, "task.delete", `{"id":%q}`, task)
		f.May("alice", "task.delete", `{"id":%q}`, task)
		// The batch's ID belongs to the token, and another token learns nothing about the batch.
		f.MayNot("bob", "the token that began the batch x, or another id", "system.batch.process", ownBatch, "b")
		f.May("ops", "system.batch.process", `{"batchId":"y","instanceId":"w","items":[1]}`)
		f.May("north", "system.batch.process", `{"batchId":"z","instanceId":"north:1","items":[1]}`)
	})
}

// A call that names another token's instance counts for the caller's own limit.
func TestRateLimitsOfBatchesAndVotesAreEachTokensOwn(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{
		Tokens: fleettest.FleetTokens(), RateLimits: map[string]int{"system.batch.process": 2, "system.quorum.vote": 2},
	}, func(t *testing.T, f *fleettest.Fleet) {
		f.May("alice", "system.register", `{"id":"w","roles":[]}`)
		for method, params := range map[string]string{"system.batch.process": ownBatch, "system.quorum.vote": ownVote} {
			for range 2 {
				f.MayNot("bob", "registered instance w", method, params, "w")
			}
			for range 2 {
				f.May("alice", method, params, "w")
			}
			for _, who := range []string{"bob", "alice"} {
				if _, err := f.As(who, method, params, "w"); err == nil || !strings.Contains(err.Error(), "Rate limit exceeded") {
					t.Errorf("the third %s of %s: %v", method, who, err)
				}
			}
			f.May("ops", method, params, "w")
		}
	})
}
