package doctor

import (
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/devstack"
	"github.com/claudebench/claudebench/internal/keys"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// patient is a fleet's Redis that a test makes ill.
type patient struct {
	Options
	t     *testing.T
	redis redis.UniversalClient
	now   time.Time
}

func newPatient(t *testing.T) *patient {
	t.Helper()
	return patientOn(t, testenv.Client(t))
}

// patientOn returns a patient in a namespace of its own.
func patientOn(t *testing.T, client redis.UniversalClient) *patient {
	t.Helper()
	space, err := keys.New(testenv.Namespace(t))
	if err != nil {
		t.Fatal(err)
	}
	now, err := client.Time(t.Context()).Result()
	if err != nil {
		t.Fatal(err)
	}
	return &patient{Options: Options{Redis: client, Keys: space}, t: t, redis: client, now: now}
}

// ownPatient returns a patient with a Redis of its own, whose settings a test may change.
func ownPatient(t *testing.T, opts devstack.RedisOptions) (*patient, *devstack.Redis) {
	t.Helper()
	server := testenv.OwnRedis(t, opts)
	return patientOn(t, testenv.ClientOf(t, server)), server
}

func (p *patient) do(args ...any) {
	p.t.Helper()
	if err := p.redis.Do(p.t.Context(), args...).Err(); err != nil {
		p.t.Fatalf("%v: %v", args, err)
	}
}

// events appends n events of a time before now, and returns the ID of the last one. The log then
// has all events from seq 1 on.
func (p *patient) events(n int, ago time.Duration) (last events.ID) {
	p.t.Helper()
	seq, err := p.redis.HGet(p.t.Context(), p.Keys.Log(), "seq").Int64()
	if err != nil && err != redis.Nil { //nolint:errorlint // go-redis returns it as it is
		p.t.Fatal(err)
	}
	last = events.ID{MS: p.now.Add(-ago).UnixMilli(), Seq: seq}
	_, err = p.redis.Pipelined(p.t.Context(), func(pipe redis.Pipeliner) error {
		for range n {
			last.Seq++
			pipe.XAdd(p.t.Context(), &redis.XAddArgs{Stream: p.Keys.Events(), ID: last.String(), Values: []any{"data", strings.Repeat("x", 200)}})
		}
		pipe.HSet(p.t.Context(), p.Keys.Log(), "seq", last.Seq, "ms", last.MS, "format", events.Format)
		return nil
	})
	if err != nil {
		p.t.Fatal(err)
	}
	return last
}

// as returns the patient seen by a Redis user with some permissions, and with the key pattern of all
// keys.
func (p *patient) as(server *devstack.Redis, permissions ...any) *patient {
	p.t.Helper()
	name := testenv.Namespace(p.t)
	p.do(append([]any{"ACL", "SETUSER", name, "on", ">sesame", "~*", "resetchannels"}, permissions...)...)
	u, err := url.Parse(server.URL())
	if err != nil {
		p.t.Fatal(err)
	}
	u.User = url.UserPassword(name, "sesame")
	o, err := redis.ParseURL(u.String())
	if err != nil {
		p.t.Fatal(err)
	}
	other := *p
	client := redis.NewClient(o)
	p.t.Cleanup(func() { _ = client.Close() })
	other.Redis = client
	return &other
}

// check runs one check.
func (p *patient) check(name string) []Finding {
	p.t.Helper()
	return p.examine(newExam(p.t.Context(), p.Options), name)
}

func (p *patient) examine(e *exam, name string) []Finding {
	p.t.Helper()
	for _, c := range checks {
		if c.name == name {
			return run(p.t.Context(), e, []check{c}, limit).Findings
		}
	}
	p.t.Fatalf("there is no check %q", name)
	return nil
}

// expect runs one check and compares its finding. It must be the only one.
func (p *patient) expect(name string, level Level, text string) {
	p.t.Helper()
	expect(p.t, p.check(name), level, text)
}

func expect(t *testing.T, found []Finding, level Level, text string) {
	t.Helper()
	if len(found) != 1 || found[0].Level != level || !strings.Contains(found[0].Text, text) {
		t.Errorf("found %+v, want %s: …%s…", found, level, text)
		return
	}
	if f := found[0]; (f.Level == Warn || f.Level == Fail) && f.Do == "" {
		t.Errorf("%+v does not say what to do", f)
	}
}

// never returns a client of a Redis that does not exist.
func never(t *testing.T) redis.UniversalClient {
	t.Helper()
	client := redis.NewClient(&redis.Options{Addr: "127.0.0.1:1", MaxRetries: -1, DialerRetries: 1})
	t.Cleanup(func() { _ = client.Close() })
	return client
}
