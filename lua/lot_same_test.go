package lua

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

// player sends the same random commands either in lots or one by one.
type player struct {
	*testing.T
	client  *redis.Client
	space   keys.Space
	scripts *Runner
	rng     *rand.Rand
	lots    bool
	told    []string // replies
}

// extras returns what create_task needs for a task with options.
func extras(options string) string { return fmt.Sprintf(`{"options":%q,"retention":600000}`, options) }

// send runs a script once for each list of arguments, which follow the context of an event.
func (p *player) send(script string, args ...[]any) {
	for i, a := range args {
		args[i] = append([]any{`"actor":"a","cause":null,"trace":null`}, a...)
	}
	size := 1
	if p.lots {
		size = len(args)
	}
	for some := range slices.Chunk(args, size) {
		calls := callsOf(Named(script), p.space.Log(), some...)
		p.scripts.send(calls)
		for _, c := range calls {
			<-c.done
			p.told = append(p.told, p.timeless(fmt.Sprint(script, c.reply, c.err)))
		}
	}
}

var moments = regexp.MustCompile(`\b\d{13}\b|\d{4}-\d\d-\d\dT[\d:.]+Z|"(waited|duration|retryAfterMs)":\d+`)

// timeless removes from a text what differs between runs: the prefix and the times.
func (p *player) timeless(text string) string {
	return moments.ReplaceAllString(strings.ReplaceAll(text, p.space.Prefix(), ""), "T")
}

// play runs random commands of a fleet: it creates tasks of several kinds, workers claim tasks and
// finish their own and those of others, and some calls reach a limit.
func (p *player) play() {
	workers := []string{"w/1", "w2", "w:3", "nobody"}
	for i, roles := range []string{`["worker"]`, `["go","worker"]`, `["go","sql","worker"]`} {
		p.send("register_instance", []any{"register:" + workers[i], "0", workers[i], roles, "1", "", "s", 3, 600_000, "", ""})
	}
	pick := func(from []string) string {
		if len(from) == 0 {
			return "t-1"
		}
		return from[p.rng.IntN(len(from))]
	}
	known := []string{"t-5"} // the first task follows three registrations and an election
	for round := range 10 {
		var creates, claims, completes, beats [][]any
		for n := range 24 {
			set := pick([]string{"", "", `["go"]`, `["go","sql"]`})
			metadata := ""
			if set != "" {
				metadata = `{"roles":` + set + `}`
			}
			once := pick([]string{"", "", "", fmt.Sprint("k", p.rng.IntN(5))})
			creates = append(creates, []any{
				pick([]string{"create:a", "create:b"}), "100", once, "d", fmt.Sprintf("text/%d.%d", round, n), p.rng.IntN(4) * 25, metadata, set, "", "",
				pick([]string{"", "", "", extras(`{"uniqueKey":"u"}`), extras(`{"limitKey":"l"}`), extras(`{"dependsOn":["` + pick(known) + `"],"onDependencyFailure":"cancel"}`)}),
			})
			known = append(known, fmt.Sprint("t-", len(known)+5))
			claims = append(claims, []any{pick([]string{"claim:a", "claim:b"}), "100", "", "d", pick(workers), 1 + p.rng.IntN(3), "", "0"})
			beats = append(beats, []any{"heartbeat:x", "200", pick(workers), 600_000, ""})
		}
		p.send("create_task", creates...)
		p.send("claim_task", claims[:6]...)
		for range 24 {
			worker := pick(workers)
			held, err := p.client.ZRange(p.Context(), p.space.Active(worker), 0, -1).Result()
			if err != nil {
				p.Fatal(err)
			}
			result, failure := `{"a":1}`, ""
			if p.rng.IntN(3) == 0 {
				result, failure = "", `"bad"`
			}
			completes = append(completes, []any{
				"complete:a", "150", "", "d", pick(held), pick([]string{"", worker, "w2"}), "", result, failure, 600_000, "", "0", "0",
			})
		}
		p.send("complete_task", completes...)
		p.send("instance_heartbeat", beats...)
		var hooks [][]any
		for n := range 24 {
			session, change := pick([]string{"s", "t", ""}), pick([]string{"", "put", "put", "drop"})
			if session == "" {
				change = ""
			}
			hooks = append(hooks, []any{
				pick([]string{"hook:a", "hook:b"}), "200", "hook.stopped", `"source":"p","name":"Stop","sessionId":null`, `"tool":null`,
				pick([]string{"", `"decision":"deny"`}), session, pick([]string{"", "a"}), `"p"`, change, fmt.Sprintf(`"%d"`, p.rng.IntN(6)),
				pick([]string{"", fmt.Sprintf(`"text %d"`, n)}), pick([]string{"", "completed"}), 0, 600_000,
			})
		}
		p.send("record_hook", hooks...)
		if round == 7 {
			p.client.Del(p.Context(), p.space.Log()) // the next script recovers it from the stream
		}
	}
}

// held returns everything that Redis holds of the namespace, as sorted lines.
func (p *player) held() []string {
	p.Helper()
	ctx := p.Context()
	var lines []string
	for all := p.client.Scan(ctx, 0, p.space.Prefix()+"*", 1000).Iterator(); all.Next(ctx); {
		key := all.Val()
		line := func(parts ...any) { lines = append(lines, p.timeless(key+" "+fmt.Sprint(parts...))) }
		switch p.client.Type(ctx, key).Val() {
		case "hash":
			fields := p.client.HGetAll(ctx, key).Val()
			if strings.HasPrefix(key, p.space.Instance("")) {
				delete(fields, "seq") // of any of its events in the lot
			}
			for _, field := range slices.Sorted(maps.Keys(fields)) {
				line(field, "=", fields[field])
			}
		case "zset":
			for _, z := range p.client.ZRangeWithScores(ctx, key, 0, -1).Val() {
				line(z.Member, fmt.Sprintf(" %.0f", z.Score))
			}
		case "stream":
			for _, entry := range p.client.XRange(ctx, key, "-", "+").Val() {
				line(entry.ID, entry.Values)
			}
		default:
			line(p.client.Get(ctx, key).Val())
		}
	}
	slices.Sort(lines)
	return lines
}

// Calls in lots have the same replies and leave the same state as calls one by one, although a lot
// writes some values only once.
func TestALotIsItsCallsOneByOne(t *testing.T) {
	t.Parallel()
	client := testenv.Client(t)
	for seed := range uint64(4) {
		var told, held [2][]string
		for i, lots := range []bool{false, true} {
			space, err := keys.New(testenv.Namespace(t))
			if err != nil {
				t.Fatal(err)
			}
			p := &player{T: t, client: client, space: space, scripts: NewRunner(client), rng: rand.New(rand.NewPCG(seed, 1)), lots: lots}
			p.play()
			told[i], held[i] = p.told, p.held()
		}
		if diff := cmp.Diff(told[0], told[1]); diff != "" {
			t.Fatalf("seed %d: answers (-one by one +in lots):\n%s", seed, diff)
		}
		if diff := cmp.Diff(held[0], held[1]); diff != "" {
			t.Fatalf("seed %d: what is in Redis (-one by one +in lots):\n%s", seed, diff)
		}
	}
}
