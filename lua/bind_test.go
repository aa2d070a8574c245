package lua_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/lua"
)

// recorded is a Scripts that records the arguments of the last call.
type recorded struct {
	lua.Scripts
	args []any
}

func (r *recorded) Run(_ context.Context, _ *lua.Script, args ...any) (any, error) {
	r.args = args
	return "{}", nil
}

// Bind panics if the fields of the struct are not the arguments in the script's header.
func TestBindComparesTheHeader(t *testing.T) {
	t.Parallel()
	type instance struct{ ID, Status string }
	lua.Bind[instance]("update_gossip_health")
	for what, bind := range map[string]func(){
		"order":     func() { lua.Bind[struct{ Status, ID string }]("update_gossip_health") },
		"missing":   func() { lua.Bind[struct{ ID string }]("update_gossip_health") },
		"surplus":   func() { lua.Bind[struct{ ID, Status, Context string }]("update_gossip_health") },
		"name":      func() { lua.Bind[struct{ Instance, Status string }]("update_gossip_health") },
		"type":      func() { lua.Bind[struct{ ID, Status float64 }]("update_gossip_health") },
		"rest":      func() { lua.Bind[struct{ IDs string }]("read_tasks") },
		"half":      func() { lua.Bind[struct{ Context, ID string }]("get_task") },
		"no script": func() { lua.Bind[instance]("update_gossip") },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: bound", what)
				}
			}()
			bind()
		}()
	}
}

// complete holds the arguments of complete_task.
type complete struct {
	Key, Digest, ID, Worker string
	Attempt                 *int
	Result, Failure         []byte
	Retention               int64
	Agent                   string
	Final, Cancelled        bool
}

// Fields become arguments in the order of the header. In a command they follow the three arguments
// that all commands share.
func TestBoundArguments(t *testing.T) {
	t.Parallel()
	var r recorded
	script := lua.Bind[complete]("complete_task")
	if _, err := script.RunCommand(t.Context(), &r, "c", "s", "1", complete{
		ID: "t-1", Attempt: new(3), Result: []byte(`{}`), Retention: 5, Agent: "a", Cancelled: true,
	}); err != nil {
		t.Fatal(err)
	}
	want := []any{"c", "s", "1", "", "", "t-1", "", int64(3), []byte(`{}`), []byte(nil), int64(5), "a", 0, 1}
	if !reflect.DeepEqual(r.args, want) {
		t.Errorf("%v, want %v", r.args, want)
	}
	type tasks struct{ IDs []string }
	if _, err := lua.Bind[tasks]("read_tasks").Run(t.Context(), &r, tasks{[]string{"t-1", "t-2"}}); err != nil || !reflect.DeepEqual(r.args, []any{"t-1", "t-2"}) {
		t.Errorf("%v, %v", r.args, err)
	}
	if _, err := lua.Bind[tasks]("read_tasks").RunCommand(t.Context(), &r, "", "", "", tasks{}); err == nil {
		t.Error("a script of no command was run as one")
	}
}

// A call is not sent if it has another number of arguments than the header. Its error is not
// ErrUnavailable, because the program is wrong.
func TestACallThatDoesNotFitIsNotSent(t *testing.T) {
	t.Parallel()
	scripts := lua.NewRunner(nil).On("test:{cb}:log") // panics if it sends
	for _, args := range [][]any{{}, {"a"}, {"a", "b", "c"}} {
		_, err := scripts.Run(t.Context(), lua.Named("update_gossip_health"), args...)
		if err == nil || errors.Is(err, lua.ErrUnavailable) || !strings.Contains(err.Error(), "it takes 2: id, status") {
			t.Errorf("%d arguments: %v", len(args), err)
		}
	}
}

func BenchmarkBoundArguments(b *testing.B) {
	var r recorded
	script := lua.Bind[complete]("complete_task")
	b.ReportAllocs()
	for b.Loop() {
		_, _ = script.RunCommand(context.Background(), &r, "c", "s", "1", complete{ID: "t-1", Worker: "w", Result: []byte(`{}`)})
	}
}
