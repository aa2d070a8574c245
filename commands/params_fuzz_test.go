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

// worldCalls is how many calls a fuzzWorld takes before it is compared with its log and thrown
// away.
const worldCalls = 250

// fuzzWorld is a fleet with something in it for params to hit: a worker w that leads, and tasks in
// every state.
type fuzzWorld struct {
	*fleettest.Fleet
	calls int
}

func newFuzzWorld(t fleettest.TB, client *redis.Client) *fuzzWorld {
	t.Helper()
	w := &fuzzWorld{Fleet: fleettest.New(t, client, commands.Options{Tasks: &fleettest.View{}})}
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

// end holds the log against the state, and removes both.
func (w *fuzzWorld) end(t fleettest.TB) {
	t.Helper()
	w.T = t
	w.Verify()
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

// FuzzParams calls methods with whatever bytes, on a real Redis. Each call is answered by its
// schema or refused by a documented error, in its time; the bytes are refused exactly if the
// method's schema refuses them; none is a fault of ours; and after so many calls the log still
// tells how the state came about.
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
			world.calls = worldCalls // not much is left in it
		}
		if t.Failed() {
			world = nil
		}
	})
}

// carried reports whether a transport hands such params on: UTF-8, and not nested too deep.
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

// named returns the method of that name, or for a name that is none any of them, always the same.
func (w *fuzzWorld) named(name string) *command.Method {
	if m := w.Method(name); m != nil {
		return m
	}
	sum := fnv.New32a()
	_, _ = sum.Write([]byte(name))
	return w.Methods()[sum.Sum32()%uint32(len(w.Methods()))] //nolint:gosec // twenty
}

// documentedCodes are those that a method may answer with. The others belong to transports.
var documentedCodes = []int{api.CodeInvalidParams, api.CodeNotRegistered, api.CodeNotFound, api.CodeConflict}

// hold makes one call, and holds what comes of it against what the API promises.
func (w *fuzzWorld) hold(t *testing.T, m *command.Method, params []byte, schemas discovered) {
	began := time.Now()
	// A piece of the params is the cause: as nasty as they are.
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
	case err != nil: // a number of a user's that Go cannot hold
	default:
		if err := schemas.output.Validate(instance); err != nil {
			t.Errorf("%s answered %s, which its schema refuses: %v", m.Name, result, err)
		}
	}
}

// refusedItem returns the sentence by which an item was refused, "" if none was; if there are
// several, one that its schema should know.
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

// comparable reports whether a schema's validator sees what the method sees: not where a name
// occurs twice, of which it sees the last one alone, nor where a number is too large or too exact
// for it, nor where there are no params at all.
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

// rounds reports whether a number is a whole one only once a float64 holds it.
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

// repeats reports whether an object in the next value has a name twice.
func repeats(d *json.Decoder) bool {
	token, _ := d.Token() // it is valid
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
