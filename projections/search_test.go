package projections_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/testenv"
)

// A search matches every character literally, and the total counts all matches.
func TestListSearches(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	h := newHistory()
	for _, task := range [][2]string{
		{"Fix the BUG in 100% of cases", `{"roles":["go","a b"]}`},                  // t-1
		{"fix under_score", `{"roles":["Go","go%","\u0067\u006f-2"],"x":1e999999}`}, // t-2
		{`back\slash and 'quote' "double"`, `{"roles":[]}`},                         // t-3
		{"NAÏVE straße <b>&amp;</b>", `null`},                                       // t-4
		{"plain; DROP TABLE tasks; --", `{"rol\u0065s":["go"]}`},                    // t-5
		{"the last name counts", `{"roles":["go"],"roles":["py"]}`},                 // t-6
		{"older logs have anything", `{"roles":{"go":1}}`},                          // t-7
		{"older logs have anything", `{"roles":"go"}`},                              // t-8
		{"older logs have anything", `{"roles":[1,null,["go"],{"go":1},1e999999]}`}, // t-9
		{"older logs have anything", `["roles","go"]`},                              // t-10
		{"nested", `{"deep":{"roles":["go"]}}`},                                     // t-11
	} {
		h.create(task[0], 50, task[1])
	}
	h.assign("t-2", "w")
	b.apply(t, oneBatch(h.events))
	for name, c := range map[string]struct {
		q     api.TaskQuery
		ids   string
		total int64
	}{
		"text":               {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "bug"}}, "t-1", 1},
		"in upper case":      {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "FIX"}}, "t-1 t-2", 2},
		"whole":              {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "nested"}}, "t-11", 1},
		"percent":            {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "0%"}}, "t-1", 1},
		"only a percent":     {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "%"}}, "t-1", 1},
		"underscore":         {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "r_s"}}, "t-2", 1},
		"no wildcard":        {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "f_x"}}, "", 0},
		"backslash":          {api.TaskQuery{TaskFilter: api.TaskFilter{Text: `k\s`}}, "t-3", 1},
		"two backslashes":    {api.TaskQuery{TaskFilter: api.TaskFilter{Text: `k\\s`}}, "", 0},
		"quotes":             {api.TaskQuery{TaskFilter: api.TaskFilter{Text: `'quote' "D`}}, "t-3", 1},
		"SQL":                {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "'; DROP TABLE tasks; --"}}, "", 0},
		"not ASCII":          {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "straße <B>&"}}, "t-4", 1},
		"a placeholder":      {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "$1"}}, "", 0},
		"the end of a line":  {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "\n"}}, "", 0},
		"role":               {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "go"}}, "t-1 t-5", 2},
		"another case":       {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "Go"}}, "t-2", 1},
		"an escaped role":    {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "go-2"}}, "t-2", 1},
		"a role with spaces": {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "a b"}}, "t-1", 1},
		"a role with %":      {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "go%"}}, "t-2", 1},
		"part of a role":     {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "g"}}, "", 0},
		"the last one":       {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "py"}}, "t-6", 1},
		"a number":           {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "1"}}, "", 0},
		"SQL in a role":      {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "go' OR 'a'='a"}}, "", 0},
		"both":               {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "Go", Text: "UNDER", AssignedTo: "w", Statuses: []string{"pending"}, Priority: new(50)}}, "t-2", 1},
		"both and nothing":   {api.TaskQuery{TaskFilter: api.TaskFilter{Role: "go", Text: "under"}}, "", 0},
		"not deleted yet":    {api.TaskQuery{TaskFilter: api.TaskFilter{Text: "older logs"}}, "t-7 t-8 t-9 t-10", 4},
	} {
		c.q.Limit = 100
		ids, total := b.listed(t, c.q)
		if got := strings.Join(ids, " "); got != c.ids || total != c.total {
			t.Errorf("%s: %d tasks, %q, want %d, %q", name, total, got, c.total, c.ids)
		}
	}
	// The total counts the matches on all pages.
	if ids, total := b.listed(t, api.TaskQuery{TaskFilter: api.TaskFilter{Text: "older"}, Limit: 2, Offset: 1, Descending: true}); strings.Join(ids, " ") != "t-9 t-8" || total != 4 {
		t.Errorf("a page: %v of %d", ids, total)
	}
}

// The deadline of a call ends its query in Postgres too.
func TestASearchEndsWithItsCall(t *testing.T) {
	t.Parallel()
	b := newBundle(t)
	b.prepare(t)
	if _, err := b.db.Exec(t.Context(), `INSERT INTO tasks (num, id, status, priority, attempt, text, metadata, created_at, updated_at, seq)
SELECT n, 't-' || n, 'pending', 50, 0, repeat('search in me ', 30), '{"roles":["a","b"]}', now(), now(), n FROM generate_series(1, 100000) n`); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	const name = "no such role"
	if _, err := b.tasks.List(ctx, api.TaskQuery{TaskFilter: api.TaskFilter{Role: name, Text: "not here"}, Limit: 100}); err == nil {
		t.Error("100,000 tasks were searched in 20 ms")
	}
	testenv.Eventually(t, 5*time.Second, func() (bool, string) {
		var running int
		if err := b.db.QueryRow(t.Context(), `SELECT count(*) FROM pg_stat_activity WHERE state = 'active' AND query LIKE '%json_array_elements%' AND query LIKE '%' || current_schema() || '%' AND pid <> pg_backend_pid()`).Scan(&running); err != nil {
			t.Fatal(err)
		}
		return running == 0, "the query still runs"
	})
}
