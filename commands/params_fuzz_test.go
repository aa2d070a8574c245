package commands_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"math"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/redis/go-redis/v9"

	"github.com/claudebench/claudebench/commands"
	"github.com/claudebench/claudebench/commands/system"
	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/command"
	"github.com/claudebench/claudebench/internal/fleettest"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// worldCalls is the number of calls on a fuzzWorld before it is compared with its log and
// discarded.
const worldCalls = 250

// fuzzWorld is a fleet with content that params can refer to: a worker w that is the leader, and
// tasks in every state.
type fuzzWorld struct {
	*fleettest.Fleet
	calls int
}

func newFuzzWorld(t fleettest.TB, client *redis.Client) *fuzzWorld {
	t.Helper()
	// The world outlives the test that makes it, so it must not end with that test.
	w := &fuzzWorld{Fleet: fleettest.New(struct{ fleettest.TB }{t}, client, commands.Options{Tasks: &fleettest.View{}, Index: &fleettest.View{}})}
	w.Unhurried()
	w.WithRows(0)
	w.Register("w", `["worker"]`, `,"metadata":{"sessionId":"s","maxTasks":2}`) // 1, and 2 elects it
	w.Create("roles", `,"metadata":{"roles":["gpu"]}`)                          // t-3
	for range 5 {
		w.Create("x", `,"metadata":{"a":1}`) // t-4 to t-8
	}
	w.Claim("w")
	w.Claim("w")
	return w
}

// end compares the log with the state, and removes both.
func (w *fuzzWorld) end(t fleettest.TB) {
	t.Helper()
	w.T = t
	w.Verify()
	w.Stop()
	if found := w.Scan(w.Keys.Prefix() + "*"); len(found) > 0 {
		w.Put(append([]any{"UNLINK"}, anySlice(found)...))
	}
}

func anySlice(list []string) []any {
	all := make([]any, len(list))
	for i, s := range list {
		all[i] = s
	}
	return all
}

// FuzzParams calls methods with arbitrary bytes on a real Redis. Each call returns within its
// timeout. It returns a result that matches the method's schema, or a documented error, never a
// fault of the coordinator. A call is rejected for its params exactly if the method's schema
// rejects them. After worldCalls calls the fold of the log must still equal the state.
func FuzzParams(f *testing.F) {
	list, err := commands.Methods()
	if err != nil {
		f.Fatal(err)
	}
	schemas := map[string]discovered{}
	for _, m := range list {
		info, err := system.Describe(m)
		if err != nil {
			f.Fatal(err)
		}
		schemas[m.Name] = discovered{schemaFrom(f, info.InputSchema), schemaFrom(f, info.OutputSchema)}
		for _, params := range lawfulParams[m.Name] {
			f.Add(m.Name, []byte(params))
		}
		for _, params := range nastyParams(m.Params, lawfulParams[m.Name][0]) {
			f.Add(m.Name, []byte(params))
		}
	}
	client := fleettest.RealRedis(f)
	var world *fuzzWorld
	f.Cleanup(func() {
		if world != nil && !f.Failed() {
			world.end(f)
		}
	})
	f.Fuzz(func(t *testing.T, name string, params []byte) {
		if len(params) > 0 && !carried(params) {
			return
		}
		if world != nil && world.calls >= worldCalls {
			world.end(t)
			world = nil
		}
		if world == nil {
			world = newFuzzWorld(t, client)
		}
		world.T, world.calls = t, world.calls+1
		m := world.named(name)
		world.hold(t, m, params, schemas[m.Name])
		if m.Name == "system.flush" {
			world.calls = worldCalls // the flush has left little in it
		}
		if t.Failed() {
			world = nil
		}
	})
}

// carried reports whether a transport would pass on such params: they are UTF-8 and not nested too
// deep.
func carried(params []byte) bool {
	const deepest = 64
	depth := 0
	for _, c := range params {
		switch c {
		case '{', '[':
			if depth++; depth > deepest {
				return false
			}
		case '}', ']':
			depth--
		}
	}
	return utf8.Valid(params)
}

// named returns the method with that name. For an unknown name it returns a method that depends
// only on the name.
func (w *fuzzWorld) named(name string) *command.Method {
	if m := w.Method(name); m != nil {
		return m
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(name))
	return w.Methods()[sum.Sum32()%uint32(len(w.Methods()))] //nolint:gosec // twenty
}

// documentedCodes are the error codes that a method may return. The other codes belong to
// transports.
var documentedCodes = []int{api.CodeInvalidParams, api.CodeNotRegistered, api.CodeNotFound, api.CodeConflict}

// hold makes one call and checks its outcome against what the API promises.
func (w *fuzzWorld) hold(t *testing.T, m *command.Method, params []byte, schemas discovered) {
	began := time.Now()
	// The cause is a piece of the params, so it is as arbitrary as they are.
	cause := strings.ToValidUTF8(string(params[:min(len(params), 40)]), "")
	result, err := w.Call(context.Background(), api.Request{Method: m.Name, Params: slices.Clone(params), Addr: "192.0.2.1", Cause: cause})
	if took := time.Since(began); took > m.Timeout {
		t.Errorf("%s took %s, and its timeout is %s", m.Name, took, m.Timeout)
	}
	var known *api.Error
	switch {
	case err == nil:
		w.answered(t, m, result, schemas)
	case !errors.As(err, &known):
		t.Errorf("%s %q: an error of type %T: %v", m.Name, params, err, err)
	case !slices.Contains(documentedCodes, known.Code):
		t.Errorf("%s %q: %v", m.Name, params, known)
	default:
		if _, err := json.Marshal(known); err != nil {
			t.Errorf("%s %q: an error that is no JSON: %v", m.Name, params, err)
		}
	}
	sentence := ""
	if known != nil && known.Code == api.CodeInvalidParams {
		sentence, _ = known.Data.(string)
		if sentence == "" {
			t.Errorf("%s %q: refused without a sentence: %v", m.Name, params, known)
		}
	}
	if m.CountsAs != "" && err == nil {
		sentence = refusedItem(t, result)
	}
	if comparable(params) && !beyondSchema(sentence) && schemas.accepts(string(params)) != (sentence == "") {
		t.Errorf("%s %q: by its schema accepted %t, by the method %q", m.Name, params, sentence != "", sentence)
	}
}

func (w *fuzzWorld) answered(t *testing.T, m *command.Method, result json.RawMessage, schemas discovered) {
	var instance any
	switch err := json.Unmarshal(result, &instance); {
	case !json.Valid(result) || !utf8.Valid(result):
		t.Errorf("%s answered %q", m.Name, result)
	case err != nil: // the result has a user's number that Go cannot hold
	default:
		if err := schemas.output.Validate(instance); err != nil {
			t.Errorf("%s answered %s, which its schema refuses: %v", m.Name, result, err)
		}
	}
}

// refusedItem returns the sentence that rejected an item, or "" if none was rejected. If several
// were, it prefers a sentence whose rule the schema should contain.
func refusedItem(t *testing.T, result json.RawMessage) (sentence string) {
	var many struct {
		Answers []struct {
			Error *struct {
				Code int
				Data any
			}
		}
	}
	if err := json.Unmarshal(result, &many); err != nil {
		t.Fatal(err)
	}
	for _, a := range many.Answers {
		if a.Error == nil || a.Error.Code != api.CodeInvalidParams {
			continue
		}
		if sentence = fmt.Sprint(a.Error.Data); !beyondSchema(sentence) {
			return sentence
		}
	}
	return sentence
}

// comparable reports whether the validator of a schema sees the same params as the method. It does
// not if a name occurs twice, because it sees only the last one, if a number is too large or too
// precise for it, or if there are no params.
func comparable(params []byte) bool {
	switch plain := bytes.TrimSpace(params); {
	case len(params) == 0:
		return true
	case string(plain) == "null" || len(plain) > 0 && plain[0] == '[', rounds(plain):
		return false
	}
	if !json.Valid(params) {
		return false
	}
	var any any
	return json.Unmarshal(params, &any) == nil && !repeats(json.NewDecoder(strings.NewReader(string(params))))
}

// rounds reports whether a number becomes an integer only when a float64 holds it.
func rounds(text []byte) bool {
	d := json.NewDecoder(bytes.NewReader(text))
	d.UseNumber()
	for {
		token, err := d.Token()
		if err != nil {
			return false
		}
		if number, ok := token.(json.Number); ok {
			float, _ := number.Float64()
			if _, whole := jsontext.Integer([]byte(number)); whole != (float == math.Trunc(float)) {
				return true
			}
		}
	}
}

// repeats reports whether an object in the next value contains a name twice.
func repeats(d *json.Decoder) bool {
	token, _ := d.Token() // the input is valid
	switch token {
	case json.Delim('{'):
		seen := map[string]bool{}
		for d.More() {
			name, _ := d.Token()
			text, _ := name.(string)
			if seen[text] || repeats(d) {
				return true
			}
			seen[text] = true
		}
		_, _ = d.Token()
	case json.Delim('['):
		for d.More() {
			if repeats(d) {
				return true
			}
		}
		_, _ = d.Token()
	}
	return false
}
