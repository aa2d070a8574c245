package session_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/taskview"
)

func TestGetSession(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		many := fleettest.SomeSession("many")
		many.Tasks.Recent = make([]api.SessionTask, 100)
		v := &fleettest.View{SessionByID: map[string]*api.SessionDetails{"s": fleettest.SomeSession("s"), "many": many}}
		f.With(func(o *commands.Options) { o.Tasks = v })
		f.Create("x", "")
		before := f.Seq()
		got := string(f.OK("session.get", `{"id":"s"}`))
		want := `{"id":"s","source":"claude-code","instanceId":"w","startedAt":"2026-01-02T03:04:05.678Z","lastActivityAt":"2026-01-02T03:04:07.678Z",` +
			`"endedAt":"2026-01-02T03:04:07.678Z","events":9,"prompts":1,"decisions":{"allow":1,"ask":2,"deny":3},` +
			`"tools":[{"name":"Bash","requested":3,"finished":2,"failed":1,"denied":1,"totalMs":12,"maxMs":10}],` +
			`"todos":[{"id":"1","text":"<é>","status":"pending"}],"tasks":{"claimed":2,"completed":1,"failed":0,"recent":[` +
			`{"id":"t-2","status":"in_progress","attempt":1,"claimedAt":"2026-01-02T03:04:07.678Z","completedAt":null,"durationMs":null},` +
			`{"id":"t-1","status":"completed","attempt":2,"claimedAt":"2026-01-02T03:04:07.678Z","completedAt":"2026-01-02T03:04:07.678Z","durationMs":7}]}}`
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		f.Refused(api.CodeNotFound, `{"id":"t"}`, "session.get", `{"id":"t"}`)
		for mcp, most := range map[bool]int{false: 100, true: 20} {
			text, err := f.Call(t.Context(), api.Request{Method: "session.get", Params: []byte(`{"id":"many"}`), MCP: mcp})
			if err != nil {
				t.Fatal(err)
			}
			if n := len(fleettest.Decoded[api.GetSessionResult](t, text).Tasks.Recent); n != most {
				t.Errorf("over MCP %t: %d recent tasks", mcp, n)
			}
		}
		v.At = func() events.ID { return events.ID{} }
		if got := fleettest.Decoded[api.GetSessionResult](t, f.OK("session.get", `{"id":"s"}`)); got.Behind == nil || got.Behind.Events != 1 {
			t.Errorf("behind: %+v", got.Behind)
		}
		// It may exist although the view does not have it yet.
		_, err := f.Do("session.get", `{"id":"t"}`)
		if known := (*api.Error)(nil); !errors.As(err, &known) || known.Code != api.CodeNotFound || !strings.Contains(known.Error(), `"behind":{"events":1,`) {
			t.Errorf("behind and not found: %v", err)
		}
		f.Emitted(before)
	})
}

func TestListSessions(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := &fleettest.View{SessionList: []api.Session{}}
		f.With(func(o *commands.Options) { o.Tasks = v })
		if got := string(f.OK("session.list", `{}`)); got != `{"sessions":[]}` {
			t.Errorf("answered %s", got)
		}
		v.SessionList, v.NextSession = []api.Session{fleettest.SomeSession("s").Session}, 41
		got := string(f.OK("session.list", `{"instanceId":"w","active":false,"limit":1,"cursor":"57"}`))
		if got != `{"sessions":[{"id":"s","source":"claude-code","instanceId":"w","startedAt":"2026-01-02T03:04:05.678Z",`+
			`"lastActivityAt":"2026-01-02T03:04:07.678Z","endedAt":"2026-01-02T03:04:07.678Z","events":9,"prompts":1}],"nextCursor":"41"}` {
			t.Errorf("answered %s", got)
		}
		if _, err := f.Call(t.Context(), api.Request{Method: "session.list", Params: []byte("{}"), MCP: true}); err != nil {
			t.Fatal(err)
		}
		no := false
		want := []api.SessionQuery{{Limit: 50}, {InstanceID: "w", Active: &no, Limit: 1, Before: 57}, {Limit: 20}}
		if diff := cmp.Diff(want, v.AskedSessions); diff != "" {
			t.Errorf("asked (-want +got):\n%s", diff)
		}
		for _, cursor := range []string{"0", "-1", "x", "01", "12345678901234567"} {
			if _, err := f.Do("session.list", fmt.Sprintf(`{"cursor":%q}`, cursor)); err == nil || !strings.Contains(err.Error(), "cursor parameter") {
				t.Errorf("cursor %s: %v", cursor, err)
			}
		}
		last := events.ID{MS: math.MaxInt64, Seq: math.MaxInt64}
		v.At = func() events.ID { return last }
		if got := fleettest.Decoded[api.ListSessionsResult](t, f.OK("session.list", `{}`)); got.Behind != nil {
			t.Errorf("not behind: %+v", got)
		}
		f.Create("x", "")
		last = events.ID{}
		if got := fleettest.Decoded[api.ListSessionsResult](t, f.OK("session.list", `{}`)); got.Behind == nil || got.Behind.Events != 1 {
			t.Errorf("behind: %+v", got)
		}
	})
}

func TestSessionsWithoutPostgres(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		for method, params := range map[string]string{"session.list": `{}`, "session.get": `{"id":"s"}`} {
			f.With(func(o *commands.Options) { o.Tasks = nil })
			unavailable := `"` + api.PostgresUnavailable + `"`
			f.Refused(api.CodeInternal, unavailable, method, "%s", params)
			v := &fleettest.View{Err: fmt.Errorf("read: %w", taskview.ErrUnavailable)}
			f.With(func(o *commands.Options) { o.Tasks = v })
			f.Refused(api.CodeInternal, unavailable, method, "%s", params)
			v.Err, v.Wait = nil, taskview.ErrUnavailable
			f.Refused(api.CodeInternal, unavailable, method, "%s", params)
			v.Wait, v.Err = nil, errors.New("a fault")
			f.Refused(api.CodeInternal, "null", method, "%s", params)
		}
	})
}

// A session's todos come back byte for byte.
func TestTodosComeBackAsTheyWere(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		s := fleettest.SomeSession("s")
		s.Todos = []api.Value{api.Value(`{"id":"\u00e9<","n":1.10}`)}
		f.With(func(o *commands.Options) {
			o.Tasks = &fleettest.View{SessionByID: map[string]*api.SessionDetails{"s": s}}
		})
		got := fleettest.Decoded[struct{ Todos json.RawMessage }](t, f.OK("session.get", `{"id":"s"}`))
		if string(got.Todos) != `[{"id":"\u00e9<","n":1.10}]` {
			t.Errorf("todos are %s", got.Todos)
		}
	})
}
