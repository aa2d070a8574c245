package projections_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/big"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"pgregory.net/rapid"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// plainTask is a row as the plain filter of this test sees it. "" is NULL.
type plainTask struct {
	num                    int64
	status, assigned, text string
	priority               int
	metadata, err          string
	created, updated       time.Time
}

var (
	filterNames  = []string{`"a"`, `"b"`, `"\u0061"`, `"é"`, `"\"q\\"`, `""`, `"roles"`}
	filterValues = []string{
		`1`, `1.0`, `10e-1`, `-0`, `0`, `1e999`, `1E+0999`, `1e1000`, `1e01000`, strings.Repeat("7", 300), "0." + strings.Repeat("0", 300), `1.5`,
		`"x"`, `"\u0078"`, `"1"`, `""`, `"\ufffd"`, `"5e1234"`, `"\"q\\"`, `true`, `false`, `null`, `{}`, `[]`, `[1,2.0]`, `[1.0,2]`, `[2,1]`, `["go","py"]`, `["\u0067o"]`,
		`{"p":1,"q":[null]}`, `{"q":[null],"p":1.00}`, `{"p":2,"q":[null],"p":1}`, `{"sha":"5e1234","n":1}`, `{"n":1.0,"sha":"5e1234"}`, `{"sha":"\"5e1234","n":1e1234}`, `{"n":1e1234,"sha":"\"5e1234"}`,
	}
	filterTexts  = []string{"fix", "Bug", "100%", "a_b", `back\slash`, "é", "'quote'", `"`, " "}
	filterErrors = []string{"", `"No Space left"`, `"say \"no\" \u00e9"`, `{"reason":"WORKER_LOST","n":1e9999}`, `["exit",1]`, `"null"`, `null`, `17`, `true`}
	filterMoment = time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
)

// randomTasks inserts tasks that have everything that a filter can find, and returns them in order.
func randomTasks(t *testing.T, b *bundle, n int, random *rand.Rand) []plainTask {
	t.Helper()
	pick := func(list []string) string { return list[random.IntN(len(list))] }
	tasks := make([]plainTask, n)
	at := filterMoment
	for i := range tasks {
		at = at.Add(time.Duration(random.IntN(3)) * time.Millisecond)
		tasks[i] = plainTask{
			num: int64(2 + 3*i), status: pick(api.TaskStatuses), assigned: pick([]string{"", "w1", "w2"}), priority: random.IntN(4),
			text: pick(filterTexts) + pick(filterTexts) + pick(filterTexts), err: pick(filterErrors), created: at, updated: at.Add(time.Duration(random.IntN(100)) * time.Millisecond),
			metadata: pick([]string{"", `[]`, `"a"`, `["a"]`, `7`, `null`}),
		}
		if random.IntN(8) > 0 {
			var members []string
			for range random.IntN(5) {
				members = append(members, pick(filterNames)+":"+pick(filterValues))
			}
			tasks[i].metadata = "{" + strings.Join(members, ",") + "}"
		}
	}
	null := func(s string) any {
		if s == "" {
			return nil
		}
		return s
	}
	if _, err := b.db.CopyFrom(t.Context(), pgx.Identifier{"tasks"},
		[]string{"num", "id", "status", "priority", "attempt", "assigned_to", "text", "metadata", "error", "created_at", "updated_at", "seq"},
		pgx.CopyFromSlice(n, func(i int) ([]any, error) {
			r := tasks[i]
			// As []byte, because pgx would encode a string as JSON.
			raw := func(s string) any {
				if s == "" {
					return nil
				}
				return []byte(s)
			}
			return []any{r.num, fmt.Sprintf("t-%d", r.num), r.status, r.priority, 0, null(r.assigned), r.text, raw(r.metadata), raw(r.err), r.created, r.updated, r.num}, nil
		})); err != nil {
		t.Fatal(err)
	}
	return tasks
}

// matches is the plain filter.
func (r plainTask) matches(t rapid.TB, f api.TaskFilter) bool {
	contains := func(text, part string) bool { return strings.Contains(strings.ToLower(text), strings.ToLower(part)) }
	var members map[string]json.RawMessage
	if strings.HasPrefix(r.metadata, "{") {
		if err := json.Unmarshal([]byte(r.metadata), &members); err != nil {
			t.Fatal(err)
		}
	}
	var wanted map[string]json.RawMessage
	if f.Metadata != nil {
		if err := json.Unmarshal(f.Metadata, &wanted); err != nil {
			t.Fatal(err)
		}
	}
	for name, value := range wanted {
		if has, ok := members[name]; !ok || !equalJSON(t, string(has), string(value)) {
			return false
		}
	}
	if f.Role != "" {
		var roles []any
		if json.Unmarshal(members["roles"], &roles) != nil || !slices.Contains(roles, any(f.Role)) {
			return false
		}
	}
	if f.Error != "" {
		text := r.err
		if strings.HasPrefix(text, `"`) {
			if err := json.Unmarshal([]byte(r.err), &text); err != nil {
				t.Fatal(err)
			}
		}
		if r.err == "" || !contains(text, f.Error) {
			return false
		}
	}
	return (f.Statuses == nil || slices.Contains(f.Statuses, r.status)) &&
		(f.AssignedTo == "" || f.AssignedTo == r.assigned) &&
		(f.Priority == nil || *f.Priority == r.priority) &&
		contains(r.text, f.Text) &&
		(f.CreatedAfter.IsZero() || !r.created.Before(f.CreatedAfter)) && (f.CreatedBefore.IsZero() || r.created.Before(f.CreatedBefore)) &&
		(f.UpdatedAfter.IsZero() || !r.updated.Before(f.UpdatedAfter)) && (f.UpdatedBefore.IsZero() || r.updated.Before(f.UpdatedBefore))
}

// equalJSON compares two values by what they mean, unless one has a number that is too long: then by
// their text.
func equalJSON(t rapid.TB, a, b string) bool {
	canonical := func(text string) (string, bool) {
		d := json.NewDecoder(strings.NewReader(text))
		d.UseNumber()
		var v any
		if err := d.Decode(&v); err != nil {
			t.Fatalf("%s: %v", text, err)
		}
		long := false
		v = numbers(v, func(n json.Number) string {
			digits, exponent, _ := strings.Cut(strings.ToLower(string(n)), "e")
			if e, ok := new(big.Int).SetString(cmp.Or(exponent, "0"), 10); !ok || e.CmpAbs(big.NewInt(1000)) >= 0 || len(digits) > 255 {
				long = true
				return ""
			}
			rat, ok := new(big.Rat).SetString(string(n))
			if !ok {
				t.Fatalf("%s is no number", n)
			}
			return "number " + rat.String()
		})
		out, err := json.Marshal(v)
		if err != nil {
			t.Fatal(err)
		}
		return string(out), long
	}
	left, longLeft := canonical(a)
	right, longRight := canonical(b)
	if longLeft || longRight {
		return a == b
	}
	return left == right
}

// numbers replaces the numbers in a value.
func numbers(v any, by func(json.Number) string) any {
	switch v := v.(type) {
	case json.Number:
		return map[string]any{"\x00number": by(v)}
	case []any:
		for i := range v {
			v[i] = numbers(v[i], by)
		}
	case map[string]any:
		for name := range v {
			v[name] = numbers(v[name], by)
		}
	}
	return v
}

// drawFilter draws a filter with few members, so that most filters match something.
func drawFilter(t *rapid.T, tasks []plainTask) api.TaskFilter {
	var f api.TaskFilter
	for range rapid.IntRange(0, 3).Draw(t, "members") {
		moment := filterMoment.Add(time.Duration(rapid.IntRange(-1, 400).Draw(t, "ms")) * time.Millisecond)
		switch rapid.IntRange(0, 14).Draw(t, "member") {
		case 0:
			f.Statuses = rapid.SliceOfNDistinct(rapid.SampledFrom(api.TaskStatuses), 1, 7, rapid.ID[string]).Draw(t, "statuses")
		case 1:
			f.AssignedTo = rapid.SampledFrom([]string{"w1", "w2", "nobody"}).Draw(t, "assignedTo")
		case 2:
			f.Priority = new(rapid.IntRange(0, 4).Draw(t, "priority"))
		case 3:
			f.Role = rapid.SampledFrom([]string{"go", "py", "1"}).Draw(t, "role")
		case 4:
			f.Text = rapid.SampledFrom(append(slices.Clone(filterTexts), "BUG", "B_", "%", "x")).Draw(t, "text")
		case 5:
			f.Error = rapid.SampledFrom([]string{"no ", "NO", `"`, `y "n`, "é", "worker_lost", "1", "null", `\`, "%"}).Draw(t, "error")
		case 6:
			f.CreatedAfter = moment
		case 7:
			f.CreatedBefore = moment
		case 8:
			f.UpdatedAfter, f.UpdatedBefore = moment, moment.Add(100*time.Millisecond)
		default:
			names := rapid.SliceOfNDistinct(rapid.SampledFrom(filterNames), 1, 2, rapid.ID[string]).Draw(t, "names")
			parts := make([]string, len(names))
			for i, name := range names {
				parts[i] = name + ":" + rapid.SampledFrom(filterValues).Draw(t, "value")
				// A member that a task has, perhaps written in another way.
				for has, value := range jsontext.Members([]byte(rapid.SampledFrom(tasks).Draw(t, "task").metadata)) {
					parts[i] = string(jsontext.Quote(has)) + ":" + rapid.SampledFrom([]string{string(value), alike(t, value)}).Draw(t, "spelling")
				}
			}
			f.Metadata = api.Object("{" + strings.Join(parts, ",") + "}")
		}
	}
	return f
}

// alike returns a value as encoding/json writes it.
func alike(t *rapid.T, value []byte) string {
	out, err := jsontext.Canonical(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(out)
}

// Every filter, and every combination of filters, selects the tasks that a plain filter in Go does: on one
// page, on pages by cursor in both directions, and as IDs.
func TestFiltersAgreeWithAPlainFilter(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	tasks := randomTasks(t, b, 1000, rand.New(rand.NewPCG(3, 4))) //nolint:gosec // a test needs no secret
	matched := 0
	rapid.Check(t, func(rt *rapid.T) {
		f := drawFilter(rt, tasks)
		names := map[string]bool{}
		for name := range jsontext.Members(f.Metadata) {
			if names[name] {
				return // which task.list refuses
			}
			names[name] = true
		}
		want := []string{}
		for _, r := range tasks {
			if r.matches(rt, f) {
				want = append(want, fmt.Sprintf("t-%d", r.num))
			}
		}
		if len(want) > 0 && len(want) < len(tasks) {
			matched++
		}
		got, total := b.listed(t, api.TaskQuery{TaskFilter: f, Limit: len(tasks)})
		if !slices.Equal(got, want) || total != int64(len(want)) {
			rt.Fatalf("%d tasks match %+v %s, want %d\n%v\n%v", total, f, f.Metadata, len(want), got, want)
		}
		for _, descending := range []bool{false, true} {
			limit := rapid.IntRange(max(1, len(want)/4), len(want)+2).Draw(rt, "limit")
			if got := b.pages(t, api.TaskQuery{TaskFilter: f, Limit: limit, Descending: descending}, len(want)); !slices.Equal(got, want) {
				rt.Fatalf("pages of %d by cursor, descending %t, of %+v %s: %v, want %v", limit, descending, f, f.Metadata, got, want)
			}
			slices.Reverse(want)
		}
		after := rapid.Int64Range(0, int64(3*len(tasks)+9)).Draw(rt, "after")
		limit := rapid.IntRange(1, 50).Draw(rt, "ids")
		want = slices.DeleteFunc(want, func(id string) bool { return numberOf(t, id) <= after })
		found, err := b.tasks.Matching(t.Context(), f, after, limit)
		if err != nil {
			rt.Fatal(err)
		}
		want = want[:min(limit, len(want))]
		if last := lastOf(t, want); !slices.Equal(found.IDs, want) || found.Last != last {
			rt.Fatalf("%v until %d match %+v %s behind %d, want %v until %d", found.IDs, found.Last, f, f.Metadata, after, want, last)
		}
	})
	if matched == 0 {
		t.Error("no filter matched some tasks and not others")
	}
}

// pages reads all pages by cursor and returns their ids. It checks what each page says about the rest.
func (b *bundle) pages(t *testing.T, q api.TaskQuery, all int) []string {
	t.Helper()
	ids := []string{}
	for {
		page, err := b.tasks.List(t.Context(), q)
		if err != nil {
			t.Fatal(err)
		}
		if total := int64(all); q.Cursor != 0 && page.Total != 0 || q.Cursor == 0 && page.Total != total {
			t.Fatalf("a page behind %d counts %d tasks", q.Cursor, page.Total)
		}
		ids = append(ids, idsOf(t, page.Tasks)...)
		if (page.Next != 0) != (len(ids) < all) || page.Next != 0 && page.Next != lastOf(t, ids) {
			t.Fatalf("after %d of %d tasks the list continues behind %d", len(ids), all, page.Next)
		}
		if page.Next == 0 {
			return ids
		}
		q.Cursor = page.Next
	}
}

func numberOf(t *testing.T, id string) (num int64) {
	t.Helper()
	if _, err := fmt.Sscanf(id, "t-%d", &num); err != nil {
		t.Fatalf("%s: %v", id, err)
	}
	return num
}

func lastOf(t *testing.T, ids []string) int64 {
	t.Helper()
	if len(ids) == 0 {
		return 0
	}
	return numberOf(t, ids[len(ids)-1])
}
