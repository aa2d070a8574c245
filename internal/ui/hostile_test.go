package ui_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/browsertest"
)

// hostile are texts that would do something if they were HTML, a script, a template, a format or a
// name of a property.
var hostile = []string{
	`<img src=x onerror="window.pwned=1">`,
	`</script><script>window.pwned=1</script>`,
	`"><svg onload=window.pwned=1>`,
	`' onmouseover='window.pwned=1`,
	`javascript:window.pwned=1`,
	"${window.pwned=1}{{window.pwned=1}}`",
	`<b>&lt;&amp;&#60;`,
	"\u202eright to left\u202c \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
	`__proto__`,
	`constructor`,
	`👩🏽‍🚀🇦🇶 é́́́ ẑ̵̧̪͎͚̭̘̣̠̘̫̬`,
	strings.Repeat("w", 400),
	"line\nbreak\ttab",
	`%00%2e%2e/../`,
	`null`,
}

// ids are names of instances that the API accepts and that an address or a page could take wrongly.
var ids = []string{"__proto__", "constructor", "a/../../b", "<b>bold</b>", `x"y'z`, "a?b#c&d=e", "%2e%2e", "na ïve", "x.js", "host.example.css", "\u05e9\u05dc\u05d5\u05dd", strings.Repeat("n", 100)}

// What users write is shown as text, in every field and on every page, and numbers exactly.
func TestHostileTexts(t *testing.T) {
	t.Parallel()
	f := start(t, nil)
	f.register("plain-1", "worker")
	var accepted []string
	for i, id := range ids {
		roles, _ := json.Marshal([]string{"worker", hostile[i%len(hostile)]})
		if _, failed := f.ask("system.register", object{"id": id, "roles": json.RawMessage(roles), "metadata": object{"note": hostile[i%len(hostile)], hostile[i%7]: hostile, "__proto__": object{"polluted": true}}}); failed == nil {
			accepted = append(accepted, id)
		} else if _, failed := f.ask("system.register", object{"id": id, "roles": list{"worker"}, "metadata": object{"note": hostile[i%len(hostile)]}}); failed == nil {
			accepted = append(accepted, id)
		}
	}
	t.Logf("the API accepts %d of these names: %q", len(accepted), accepted)
	tasks := map[string]string{}
	for _, text := range hostile {
		key, _ := json.Marshal(text)
		metadata := `{` + string(key) + `:` + string(key) + `,"n":12345678901234567890,"e":1e400,"x":0.10,"z":-0,"nested":{"__proto__":{"toString":1}},"list":[1.0,1E+2,"` + `"]}`
		raw, failed := f.ask("task.create", `{"text":`+string(key)+`,"metadata":`+metadata+`}`)
		var created struct{ ID string } // Go's float64 cannot hold 1e400
		if failed != nil || json.Unmarshal(raw, &created) != nil {
			t.Fatalf("create %s: %v", key, failed)
		}
		tasks[created.ID] = text
	}
	for id, text := range tasks {
		key, _ := json.Marshal(text)
		_, _ = f.ask("task.update", object{"id": id, "updates": object{"status": "pending"}})
		if _, failed := f.ask("task.assign", object{"taskId": id, "instanceId": "plain-1"}); failed != nil {
			_, _ = f.ask("task.unassign", object{"taskId": id})
			_, _ = f.ask("task.assign", object{"taskId": id, "instanceId": "plain-1"})
		}
		_, _ = f.ask("task.complete", `{"id":"`+id+`","error":{"message":`+string(key)+`,"n":12345678901234567890,"e":1e400,"x":0.10}}`)
	}
	for i, text := range hostile[:6] {
		_, _ = f.ask("system.quorum.vote", object{"instanceId": "plain-1", "decision": text, "value": text, "totalInstances": 1 + i%2})
		_, _ = f.ask("system.batch.process", object{"batchId": text, "instanceId": "plain-1", "items": list{object{"text": text}, text}})
	}
	for _, text := range hostile { // an id has no control characters
		_, _ = f.ask("schedule.put", object{"id": text, "cron": "@yearly", "task": object{"text": text}})
		_, _ = f.ask("limit.set", object{"key": text, "concurrent": 1})
	}
	f.caughtUp()

	tab := f.open(t)
	check := func(page string, shown ...string) {
		t.Helper()
		ready(tab, page)
		tab.SeesNot("Loading…")
		for _, text := range shown {
			tab.Until("has the text "+text, func() bool {
				quoted, _ := json.Marshal(text)
				return browsertest.Eval[bool](tab, "document.body.textContent.includes("+string(quoted)+")")
			})
		}
		state := browsertest.Eval[struct{ Pwned, Polluted, Elements bool }](tab, `({ pwned: window.pwned !== undefined, polluted: ({}).polluted !== undefined || ({}).toString === 1,
			elements: document.querySelector("main b, main img, main script, main [onerror], main [onload], main [onmouseover]") !== null })`)
		if state.Pwned || state.Polluted || state.Elements {
			t.Errorf("%s: %+v", tab.Path(), state)
		}
		if wide := browsertest.Eval[int](tab, "document.documentElement.scrollWidth - innerWidth"); wide > 0 {
			t.Errorf("%s is %d px wider than the window", tab.Path(), wide)
		}
		tab.SeesNot("undefined", "[object", "NaN")
	}
	tab.Go("/ui/tasks")
	check("tasks", hostile[0], hostile[1], hostile[2], hostile[7], "__proto__", hostile[10])
	for id, text := range tasks {
		tab.Go("/ui/tasks/" + id)
		check("task", text, `"n": 12345678901234567890`, `"e": 1e400`, `"x": 0.10`, `"z": -0`, "1E+2", `"__proto__"`)
	}
	for _, id := range accepted[:5] {
		tab.Go("/ui/fleet/" + url.PathEscape(id))
		check("instance", id, "Time left")
	}
	tab.Go("/ui/fleet")
	check("fleet", accepted...)
	for _, id := range accepted { // by the page's own link
		tab.Go("/ui/fleet")
		ready(tab, "fleet")
		quoted, _ := json.Marshal(id)
		tab.Until("has a link to "+id, func() bool {
			return browsertest.Eval[bool](tab, `(() => { const a = [...document.querySelectorAll("main table a")].find((a) => a.textContent === `+string(quoted)+`); a?.click(); return Boolean(a); })()`)
		})
		check("instance", id, "Time left")
	}
	tab.Go("/ui/events")
	check("events", hostile[0], hostile[1], "12345678901234567890")
	tab.Go("/ui/schedules")
	check("schedules", hostile[0], hostile[1], hostile[7], "__proto__", hostile[10])
	tab.Go("/ui/system")
	check("system")
	tab.Go("/ui/")
	check("overview")
	tab.Size(375, 812)
	for _, page := range pages {
		tab.Go(strings.Replace(strings.Replace(page.path, "t-1", firstOf(tasks), 1), "build-1", url.PathEscape(accepted[len(accepted)-1]), 1))
		check(page.name)
	}
	tab.Go("/ui/tasks?text=" + url.QueryEscape(hostile[0]) + "&owner=" + url.QueryEscape(hostile[1]))
	check("tasks")
	for _, path := range []string{"/ui/%3Cscript%3E", "/ui/tasks/__proto__", "/ui/fleet/%FF", "/ui/constructor", "/ui/__proto__", "/ui/tasks/t-1/x", "/ui/events?types=%3Cb%3E&task=__proto__", "/ui/tasks?offset=-1&priority=x&orderBy=__proto__", "/ui/tasks?offset=1e400"} {
		tab.Expect("400")
		tab.Go(path)
		tab.Until("shows something", func() bool {
			return browsertest.Eval[bool](tab, "document.getElementById('main')?.dataset.ready !== undefined")
		})
		tab.SeesNot("Loading…", "undefined", "NaN")
	}
}

func firstOf(tasks map[string]string) string {
	for id := range tasks {
		return id
	}
	return ""
}
