package doctor

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/devstack"
)

// Checks run at the same time, and are reported in the order of the list. One that does not end is
// unknown.
func TestRun(t *testing.T) {
	t.Parallel()
	second, release := make(chan struct{}), make(chan struct{})
	list := []check{
		{"first", func(context.Context, *exam) []Finding { <-second; return []Finding{ok("a"), ok("b")} }},
		{"second", func(context.Context, *exam) []Finding {
			close(second)
			return []Finding{{Level: Warn, Text: "c", Do: "d"}}
		}},
		{"left out", func(context.Context, *exam) []Finding { t.Error("it ran"); return nil }},
		{"hangs", func(context.Context, *exam) []Finding { <-release; return nil }},
	}
	r := run(t.Context(), &exam{Options: Options{Skip: []string{"left out"}}}, list, 10*time.Millisecond)
	close(release)
	got := ""
	for _, f := range r.Findings {
		got += fmt.Sprintf("%s %s %s\n", f.Check, f.Level, f.Text)
	}
	want := "first ok a\nfirst ok b\nsecond warn c\nleft out skipped left out by --skip\nhangs unknown the check did not end within 10ms\n"
	if got != want || r.Level != Warn {
		t.Errorf("%s\n%s\nwant\n%s", r.Level, got, want)
	}
	if _, err := Run(t.Context(), Options{Skip: []string{"foo"}}); err == nil || !strings.Contains(err.Error(), `no check "foo"`) {
		t.Errorf("a check that does not exist: %v", err)
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	for want, levels := range map[Level][]Level{
		OK: {OK, Skipped}, Warn: {OK, Unknown}, Fail: {Warn, Fail, Unknown},
	} {
		var list []Finding
		for _, l := range levels {
			list = append(list, Finding{Level: l})
		}
		if got := worst(list); got != want {
			t.Errorf("the worst of %v is %s", levels, got)
		}
	}
	r := Report{Findings: []Finding{{"log", OK, "fine", ""}, {"parked", Fail, "bad \x1b[2J", "repair it"}, {"log", OK, "fine", ""}}}
	var b bytes.Buffer
	if err := r.WriteText(&b); err != nil {
		t.Fatal(err)
	}
	want := "ok       log     fine\nfail     parked  bad \\u001b[2J\n                 → repair it\nok       log     fine\n\n1 fail, 2 ok\n"
	if b.String() != want {
		t.Errorf("%q\nwant\n%q", b.String(), want)
	}
}

var aclLine = regexp.MustCompile(`(?m)^ACL SETUSER cb-auditor (.+)$`)

// auditor returns the patient seen by the auditor of docs/operations.md.
func (p *patient) auditor(t *testing.T, server *devstack.Redis) *patient {
	t.Helper()
	page, err := os.ReadFile("../../docs/operations.md")
	if err != nil {
		t.Fatal(err)
	}
	rules := aclLine.FindStringSubmatch(string(page))
	if rules == nil {
		t.Fatal("docs/operations.md has no auditor")
	}
	list := []any{"resetkeys"}
	for _, rule := range strings.Fields(strings.ReplaceAll(rules[1], "cb:", p.Keys.Prefix())) {
		if rule != ">PASSWORD" {
			list = append(list, rule)
		}
	}
	return p.as(server, list...)
}

// An auditor may do everything that doctor does, apart from CONFIG GET. Redis rejects nothing else.
func TestAnAuditorIsEnough(t *testing.T) {
	t.Parallel()
	p, server := ownPatient(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	last := p.events(3, time.Minute)
	p.do("HSET", p.Keys.State(), "checkpoint", last.String())
	p.do("SET", p.Keys.Checkpoint("metrics"), last.String())
	p.do("ZADD", p.Keys.Coordinators(), p.now.UnixMilli(), "c")
	p.do("HSET", p.Keys.Versions(), "c", "v1")
	topic := p.Keys.Topic("task.created")
	p.do("XADD", topic, last.String(), "data", "x")
	p.do("XGROUP", "CREATE", topic, "mail", "0")
	p.do("XREADGROUP", "GROUP", "mail", "c", "STREAMS", topic, ">")
	p.withPostgres(t)
	p.migrate(t)
	p.do("ACL", "LOG", "RESET")
	r, err := Run(t.Context(), p.auditor(t, server).Options)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range r.Findings {
		if f.Level != OK && f.Level != Skipped && !(f.Level == Unknown && strings.Contains(f.Text, "appendfsync")) && !strings.HasPrefix(f.Text, "tasks: ") && f.Check != "postgres" {
			t.Errorf("%+v", f)
		}
	}
	denied, err := p.redis.Do(t.Context(), "ACL", "LOG").Slice()
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range denied {
		if text := fmt.Sprint(entry); !strings.Contains(text, "config|get") {
			t.Errorf("Redis rejected %s", text)
		}
	}
}

// What a user may not read is never ok.
func TestWhatMayNotBeReadIsUnknown(t *testing.T) {
	t.Parallel()
	p, server := ownPatient(t, devstack.RedisOptions{AppendOnly: true, AppendFsync: "always"})
	p.events(3, time.Minute)
	topic := p.Keys.Topic("task.created")
	p.do("XADD", topic, "1-1", "data", "x")
	p.do("XGROUP", "CREATE", topic, "mail", "0")
	p.do("XREADGROUP", "GROUP", "mail", "c", "STREAMS", topic, ">")
	p.do("XADD", p.Keys.Parked(), "*", "data", "x")
	never := p.as(server, "-@all", "+@connection")
	for _, name := range Names() {
		for _, f := range never.check(name) {
			if f.Level != Skipped && (f.Level != Unknown || f.Do == "") {
				t.Errorf("without any permission: %+v", f)
			}
		}
	}
	for command, names := range map[string][]string{
		"info":         {"redis", "settings", "memory", "growth"},
		"hmget":        {"log", "flush"},
		"xrange":       {"growth"},
		"zrange":       {"projections", "coordinators"},
		"exists":       {"projections", "postgres"},
		"xinfo|groups": {"groups"},
		"xpending":     {"groups"},
		"xlen":         {"parked", "projections", "checkpoints", "groups"},
		"hgetall":      {"parked", "coordinators"},
	} {
		user := p.as(server, "+@all", "-"+command)
		for _, name := range names {
			if found := user.check(name); !slices.ContainsFunc(found, func(f Finding) bool { return f.Level == Unknown }) {
				t.Errorf("%s without %s: %+v", name, command, found)
			}
		}
	}
}

// A Postgres role that may read is enough.
func TestAReaderOfPostgresIsEnough(t *testing.T) {
	t.Parallel()
	p := newPatient(t)
	url := p.withPostgres(t)
	p.migrate(t)
	last := p.events(1, time.Minute)
	p.sql(t, `INSERT INTO {schema}.projection_checkpoints (name, id, seq, at) VALUES ('tasks', '`+last.String()+`', 1, now())`)
	role := p.Keys.Namespace()
	p.sql(t, `CREATE ROLE "`+role+`" LOGIN PASSWORD 'sesame'`)
	t.Cleanup(func() {
		for _, s := range []string{`DROP OWNED BY "` + role + `"`, `DROP ROLE "` + role + `"`} {
			if _, err := p.Postgres.Exec(context.WithoutCancel(t.Context()), s); err != nil {
				t.Errorf("%s: %v", s, err)
			}
		}
	})
	asRole := *p
	asRole.Postgres = p.open(t, withUser(t, url, role))
	asRole.expect("migrations", Unknown, "lacks a permission")
	if found := asRole.check("projections"); found[0].Level != Unknown || !strings.Contains(found[0].Text, "lacks a permission") {
		t.Errorf("without any right: %+v", found)
	}
	p.sql(t, `GRANT USAGE ON SCHEMA {schema} TO "`+role+`"`, `GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO "`+role+`"`)
	asRole.expect("postgres", Warn, "does not protect its files") // the tests' Postgres does not
	asRole.expect("migrations", OK, "as this version needs it")
	if found := asRole.check("projections"); slices.ContainsFunc(found, func(f Finding) bool { return f.Level == Unknown }) {
		t.Errorf("with the right to read: %+v", found)
	}
}
