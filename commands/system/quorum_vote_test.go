package system_test

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// wantVote votes on the decision d as an instance and compares the answer.
func wantVote(f *fleettest.Fleet, instance, value, more, want string) {
	f.T.Helper()
	if got := string(f.OK("system.quorum.vote", `{"instanceId":%q,"decision":"d","value":%s%s}`, instance, value, more)); got != want {
		f.T.Errorf("%s votes %s: %s, want %s", instance, value, got, want)
	}
}

func registerVoters(f *fleettest.Fleet, ids string) {
	f.T.Helper()
	for id := range strings.FieldsSeq(ids) {
		f.Register(id, `[]`, "")
	}
}

func TestVote(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		f.Refused(api.CodeNotRegistered, `{"instanceId":"a"}`, "system.quorum.vote", `{"instanceId":"a","decision":"d","value":1}`)
		registerVoters(f, "a b c")
		before := f.Seq()
		wantVote(f, "a", `{"x":[1.0],"y":"<é/>"}`, "", `{"voted":true,"quorumReached":false,"voteCount":1}`)
		wantVote(f, "a", `"no"`, "", `{"voted":false,"quorumReached":false,"voteCount":1}`)
		wantVote(f, "b", `{"y":"<\u00e9\/>", "x":[1.0]}`, `,"totalInstances":3`,
			`{"voted":true,"quorumReached":true,"finalDecision":{"x":[1.0],"y":"<é/>"},"voteCount":2}`)
		wantVote(f, "c", `"no"`, "", `{"voted":false,"quorumReached":true,"finalDecision":{"x":[1.0],"y":"<é/>"},"voteCount":2}`)
		wantVote(f, "a", `"no"`, "", `{"voted":false,"quorumReached":true,"finalDecision":{"x":[1.0],"y":"<é/>"},"voteCount":2}`)
		es := f.Emitted(before, "quorum.voted", "quorum.voted", "quorum.decision.made")
		f.Holds(es[0], `{"decision":"d","instanceId":"a","value":{"x":[1.0],"y":"<é/>"},"voteCount":1,"totalInstances":3}`)
		f.Holds(es[1], `{"decision":"d","instanceId":"b","voteCount":2}`)
		f.Holds(es[2], `{"decision":"d","value":{"x":[1.0],"y":"<é/>"},"voteCount":2,"quorum":2}`)
		f.Refused(api.CodeConflict, `{"reason":"TOTAL_INSTANCES_DIFFER","totalInstances":3}`, "system.quorum.vote",
			`{"instanceId":"c","decision":"d","value":1,"totalInstances":4}`)
		for _, part := range []string{"votes", "tally", "result", "metadata"} {
			if left := f.Client.PTTL(t.Context(), f.Keys.Quorum("d", part)).Val(); left < 6*24*time.Hour {
				t.Errorf("%s is kept for %s", part, left)
			}
		}
	})
}

func TestVoteWithoutMajority(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		registerVoters(f, "a b c d e")
		before := f.Seq()
		// Half of the votes are no majority.
		wantVote(f, "a", `true`, `,"totalInstances":4`, `{"voted":true,"quorumReached":false,"voteCount":1}`)
		wantVote(f, "b", `true`, "", `{"voted":true,"quorumReached":false,"voteCount":2}`)
		wantVote(f, "c", `"true"`, "", `{"voted":true,"quorumReached":false,"voteCount":3}`) // a string is not a boolean
		wantVote(f, "d", `1`, "", `{"voted":true,"quorumReached":false,"voteCount":4}`)
		wantVote(f, "e", `true`, "", `{"voted":false,"quorumReached":false,"voteCount":4}`)
		es := f.Emitted(before, "quorum.voted", "quorum.voted", "quorum.voted", "quorum.voted", "quorum.decision.made")
		f.Holds(es[4], `{"decision":"d","value":null,"voteCount":4,"quorum":3}`)
		f.OK("system.quorum.vote", `{"instanceId":"a","decision":"alone","value":"","totalInstances":1}`)
		f.Emitted(before+5, "quorum.voted", "quorum.decision.made")
	})
}

func TestVoteParams(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		registerVoters(f, "a")
		for more, sentence := range map[string]string{
			``:                                "value parameter is required",
			`,"value":null`:                   "value parameter must not be null",
			`,"value":"x","totalInstances":0`: "totalInstances parameter must be an integer of at least 1",
			`,"value":"` + strings.Repeat("x", 1023) + `"`: "value parameter must be at most 1024 bytes long",
		} {
			f.Refused(api.CodeInvalidParams, string(jsontext.Quote(sentence)), "system.quorum.vote", `{"instanceId":"a","decision":"d"%s}`, more)
		}
	})
}

// However many instances vote at the same time, each vote counts once and the decision is made
// once.
func TestVotesAtOnce(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		const n = 50
		coordinators := []*fleettest.Fleet{f, f.Beside()}
		for i := range n {
			f.Register(fmt.Sprintf("i%d", i), `[]`, "")
		}
		before := f.Seq()
		var mu sync.Mutex
		var voted, reached int
		var g errgroup.Group
		for i := range 2 * n { // each instance votes twice
			g.Go(func() error {
				result, err := coordinators[i%2].Do("system.quorum.vote",
					fmt.Sprintf(`{"instanceId":"i%d","decision":"d","value":%t,"totalInstances":%d}`, i/2, i/2%5 != 0, n))
				if err != nil {
					return err
				}
				vote := fleettest.Decoded[api.VoteResult](t, result)
				mu.Lock()
				defer mu.Unlock()
				if vote.Voted {
					voted++
					if vote.QuorumReached {
						reached++
					}
				}
				if vote.QuorumReached && string(vote.FinalDecision) != "true" {
					t.Errorf("decided %s", result)
				}
				return nil
			})
		}
		if err := g.Wait(); err != nil {
			t.Fatal(err)
		}
		counts := map[string]int{}
		for _, e := range f.Since(before) {
			counts[e.Type]++
		}
		if reached != 1 || counts["quorum.decision.made"] != 1 || counts["quorum.voted"] != voted || voted < n/2+1 {
			t.Errorf("%d voted, %d of them decided; events: %v", voted, reached, counts)
		}
		wantVote(f, "i0", `false`, "", fmt.Sprintf(`{"voted":false,"quorumReached":true,"finalDecision":true,"voteCount":%d}`, voted))
	})
}
