package commands

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
)

const (
	ownBatch = `{"batchId":"x","instanceId":%q,"items":[{"text":"one"},2]}`
	ownVote  = `{"decision":"d","instanceId":%q,"value":true,"totalInstances":3}`
)

// Batches are processed, and votes given, as an instance of one's own. Who may not leaves nothing behind.
func TestBatchesAndVotesBelongToTokens(t *testing.T) {
	everywhere(t, Options{Tokens: fleetTokens()}, func(t *testing.T, f *fleet) {
		for who, ids := range map[string][]string{"alice": {"w"}, "bob": {"b", "north:2"}, "north": {"north:1"}} {
			for _, id := range ids {
				f.may(who, "system.register", `{"id":%q,"roles":[]}`, id)
			}
		}
		for method, params := range map[string]string{"system.batch.process": ownBatch, "system.quorum.vote": ownVote} {
			for _, who := range []string{"bob", "eve"} {
				f.mayNot(who, "the token that registered instance w, or the role operator or admin", method, params, "w")
			}
			for _, id := range []string{"w", "north", "North:1"} {
				f.mayNot("north", `this token may name only instances whose ids begin with "north:"`, method, params, id)
			}
			f.mayNot("north", "the token that registered instance north:2", method, params, "north:2") // hers by its name alone
			f.mayNot("audit", method+" needs a token with the role agent", method, params, "w")
			_, err := f.as("bob", method, params, "nobody")
			if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeNotRegistered {
				t.Errorf("%s as nobody: %v", method, err)
			}
		}
		if left := append(f.scan(f.keys.Prefix()+"batch:*"), f.scan(f.keys.Prefix()+"quorum:*")...); len(left) > 0 {
			t.Errorf("who may not has left %q behind", left)
		}

		// The actor of each event is the token's name with the instance, whoever's that is.
		before := f.seq()
		f.may("alice", "system.batch.process", ownBatch, "w")
		f.may("alice", "system.quorum.vote", ownVote, "w")
		f.may("root", "system.quorum.vote", ownVote, "b")
		actors := []string{}
		for _, e := range f.events()[before:] {
			actors = append(actors, e.Type+" "+e.Actor)
		}
		want := []string{
			"batch.started alice/w", "task.created alice/w", "task.created alice/w", "batch.progressed alice/w", "batch.completed alice/w",
			"quorum.voted alice/w", "quorum.voted root/b", "quorum.decision.made root/b",
		}
		if !slices.Equal(actors, want) {
			t.Errorf("the events and their actors are %q, want %q", actors, want)
		}
		// The tasks are those of the token that brought them.
		task := f.zset(f.keys.Open())[0]
		f.mayNot("bob", "the token that created task "+task, "task.delete", `{"id":%q}`, task)
		f.may("alice", "task.delete", `{"id":%q}`, task)
		// A batch is the instance's that has it, not the token's: another token is told how it stands, and brings nothing else in.
		if got := string(f.may("bob", "system.batch.process", ownBatch, "b")); got != `{"processed":true,"processorId":"w","itemsProcessed":2,"total":2}` {
			t.Errorf("bob is told %s", got)
		}
		f.may("ops", "system.batch.process", `{"batchId":"y","instanceId":"w","items":[1]}`)
		f.may("north", "system.batch.process", `{"batchId":"z","instanceId":"north:1","items":[1]}`)
	})
}

// The calls that somebody makes in another's name are his own.
func TestRateLimitsOfBatchesAndVotesAreEachTokensOwn(t *testing.T) {
	everywhere(t, Options{
		Tokens: fleetTokens(), RateLimits: map[string]int{"system.batch.process": 2, "system.quorum.vote": 2},
	}, func(t *testing.T, f *fleet) {
		f.may("alice", "system.register", `{"id":"w","roles":[]}`)
		for method, params := range map[string]string{"system.batch.process": ownBatch, "system.quorum.vote": ownVote} {
			for range 2 {
				f.mayNot("bob", "registered instance w", method, params, "w")
			}
			for range 2 {
				f.may("alice", method, params, "w")
			}
			for _, who := range []string{"bob", "alice"} {
				if _, err := f.as(who, method, params, "w"); err == nil || !strings.Contains(err.Error(), "Rate limit exceeded") {
					t.Errorf("the third %s of %s: %v", method, who, err)
				}
			}
			f.may("ops", method, params, "w")
		}
	})
}
