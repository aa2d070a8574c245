package task_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/fleettest"
)

func TestListTakesFilters(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := &fleettest.View{}
		f.With(func(o *commands.Options) { o.Tasks = v })
		at := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
		for params, want := range map[string]api.TaskFilter{
			`{"status":"scheduled"}`:                                 {Statuses: []string{"scheduled"}},
			`{"statuses":["failed","cancelled","failed","blocked"]}`: {Statuses: []string{"blocked", "cancelled", "failed"}},
			`{"error":"No %_\\"}`:                                    {Error: `No %_\`},
			`{"metadata":{"b": [1.0, {"x":null}], "a":1e999}}`:       {Metadata: api.Object(`{"b":[1.0,{"x":null}],"a":1e999}`)},
			`{"createdAfter":"2026-01-02T04:04:05+01:00","createdBefore":"2026-01-02T03:04:05.0001Z"}`:        {CreatedAfter: at, CreatedBefore: at.Add(time.Millisecond)},
			`{"updatedAfter":"2026-01-02T03:04:04.999000001Z","updatedBefore":"2026-01-02T03:04:05.678999Z"}`: {UpdatedAfter: at, UpdatedBefore: at.Add(679 * time.Millisecond)},
			`{"createdBefore":"1970-01-01T00:00:00Z"}`:                                                        {CreatedBefore: time.Unix(0, 0).UTC()},
			`{"text":""}`: {},
		} {
			v.Asked = nil
			f.OK("task.list", "%s", params)
			if diff := cmp.Diff(want, v.Asked[0].TaskFilter); diff != "" {
				t.Errorf("%s (-want +got):\n%s", params, diff)
			}
		}
	})
}

// The params of a filter have the names, types, rules and descriptions that they have in task.list, and
// each of them counts.
func TestFilterParamsAreThoseOfTaskList(t *testing.T) {
	t.Parallel()
	filter, list := reflect.TypeFor[api.TaskFilterParams](), reflect.TypeFor[api.ListTasksParams]()
	pages := map[string]bool{"Limit": true, "Offset": true, "Cursor": true, "OrderBy": true, "Order": true}
	if filter.NumField()+len(pages) != list.NumField() {
		t.Errorf("a filter has %d params, and task.list %d", filter.NumField(), list.NumField())
	}
	var p api.ListTasksParams
	for i := range list.NumField() {
		field := list.Field(i)
		if pages[field.Name] {
			continue
		}
		if same, ok := filter.FieldByName(field.Name); !ok || same.Type != field.Type || same.Tag != field.Tag {
			t.Errorf("%s: %v in task.list, %v in a filter", field.Name, field, same)
			continue
		}
		switch to := reflect.ValueOf(&p).Elem().Field(i); to.Kind() {
		case reflect.String:
			to.SetString("x")
		case reflect.Pointer:
			to.Set(reflect.New(to.Type().Elem()))
		default:
			to.Set(reflect.MakeSlice(to.Type(), 1, 1))
		}
	}
	got := reflect.ValueOf(p.Filter())
	for i := range filter.NumField() {
		if got.Field(i).IsZero() {
			t.Errorf("Filter leaves out %s", filter.Field(i).Name)
		}
	}
}

// listed is a result of task.list.
type listed struct {
	Tasks      []json.RawMessage
	TotalCount int
	HasMore    bool
	NextCursor string
}

func TestListContinuesAtItsCursor(t *testing.T) {
	fleettest.Everywhere(t, commands.Options{}, func(t *testing.T, f *fleettest.Fleet) {
		v := &fleettest.View{Total: 7, Next: 40}
		f.With(func(o *commands.Options) { o.Tasks = v })
		for range 2 {
			v.Tasks = append(v.Tasks, f.OK("task.create", `{"text":"x"}`))
		}
		first := fleettest.Decoded[listed](t, f.OK("task.list", `{"limit":2,"status":"failed","metadata":{"a":1,"b":"x"}}`))
		if first.TotalCount != 7 || !first.HasMore || first.NextCursor == "" {
			t.Fatalf("the first page: %+v", first)
		}
		// The total is that of the first page, whatever the view counts then.
		v.Total, v.Next = 0, 3
		for _, params := range []string{`"limit":2,"status":"failed","metadata":{"a":1,"b":"x"}`, `"statuses":["failed"],"metadata":{ "\u0062":"x", "a":1 },"order":"desc","orderBy":"createdAt"`} {
			v.Asked = nil
			second := fleettest.Decoded[listed](t, f.OK("task.list", `{"cursor":"%s",%s}`, first.NextCursor, params))
			if q := v.Asked[0]; q.Cursor != 40 || !q.Descending || q.Offset != 0 {
				t.Errorf("%s: asked for %+v", params, q)
			}
			if second.TotalCount != 7 || !second.HasMore || second.NextCursor == "" || second.NextCursor == first.NextCursor {
				t.Errorf("%s: the second page: %+v", params, second)
			}
		}
		v.Next = 0
		if last := fleettest.Decoded[listed](t, f.OK("task.list", `{"cursor":"%s","status":"failed","metadata":{"a":1,"b":"x"}}`, first.NextCursor)); last.TotalCount != 7 || last.HasMore || last.NextCursor != "" {
			t.Errorf("the last page: %+v", last)
		}

		other := "it is of a list with other filters or another order"
		foreign := "it is not the nextCursor of a page of task.list"
		same := `"status":"failed","metadata":{"a":1,"b":"x"}`
		for params, want := range map[string]string{
			`"cursor":"C"`:                   other,
			`"cursor":"C","status":"failed"`: other,
			`"cursor":"C","status":"failed","metadata":{"a":1,"b":"y"}`:             other,
			`"cursor":"C","status":"pending","metadata":{"a":1,"b":"x"}`:            other,
			`"cursor":"C","order":"asc",` + same:                                    other,
			`"cursor":"C","priority":50,` + same:                                    other,
			`"cursor":"C","assignedTo":"w",` + same:                                 other,
			`"cursor":"C","role":"w",` + same:                                       other,
			`"cursor":"C","text":"w",` + same:                                       other,
			`"cursor":"C","error":"w",` + same:                                      other,
			`"cursor":"C","createdAfter":"2026-01-02T03:04:05Z",` + same:            other,
			`"cursor":"C","createdBefore":"2026-01-02T03:04:05Z",` + same:           other,
			`"cursor":"C","updatedAfter":"2026-01-02T03:04:05Z",` + same:            other,
			`"cursor":"C","updatedBefore":"2026-01-02T03:04:05Z",` + same:           other,
			`"cursor":"C","orderBy":"priority",` + same:                             "only a list by createdAt has one",
			`"cursor":"C","offset":0,` + same:                                       "it cannot be together with offset",
			`"cursor":"CAA",` + same:                                                foreign,
			`"cursor":"CA",` + same:                                                 foreign,
			`"cursor":"` + first.NextCursor[:len(first.NextCursor)-2] + `",` + same: foreign,
			`"cursor":"B` + first.NextCursor[1:] + `",` + same:                      foreign,
			`"cursor":"AQ",` + same:                                                 foreign,
			`"cursor":"` + strings.Repeat("_", 64) + `",` + same:                    foreign,
		} {
			params = strings.Replace(params, `"cursor":"C`, `"cursor":"`+first.NextCursor, 1)
			_, err := f.Do("task.list", "{"+params+"}")
			var refused *api.Error
			if !errors.As(err, &refused) || refused.Code != api.CodeInvalidParams || !strings.HasPrefix(refused.Data.(string), "cursor parameter: "+want) { //nolint:forcetypeassert // a test
				t.Errorf("%s: %v, want %q", params, err, want)
			}
		}
	})
}
