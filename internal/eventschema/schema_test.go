package eventschema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/testenv"
)

func TestMain(m *testing.M) { testenv.Main(m) }

// Every golden event of a current version matches its schema, which names all of its members.
func TestGoldenEventsMatchTheirSchemas(t *testing.T) {
	t.Parallel()
	for _, typ := range events.Types() {
		version, _ := events.Version(typ)
		golden, err := os.ReadFile(fmt.Sprintf("../../events/testdata/%s.v%d.json", typ, version))
		if err != nil {
			t.Fatal(err)
		}
		e, err := events.Decode(bytes.TrimSpace(golden))
		if err != nil {
			t.Fatal(err)
		}
		schema, err := Payload(typ)
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := schema.Resolve(nil)
		if err != nil {
			t.Fatalf("%s: %v", typ, err)
		}
		var payload map[string]any
		// A user's number that Go cannot hold, in metadata.
		if err := json.Unmarshal(bytes.ReplaceAll(e.Payload, []byte("1e400"), []byte("1")), &payload); err != nil {
			t.Fatal(err)
		}
		if err := resolved.Validate(payload); err != nil {
			t.Errorf("%s: %v", typ, err)
		}
		payload["memberOfTheFuture"] = 1
		if err := resolved.Validate(payload); err != nil {
			t.Errorf("%s refuses a member that it does not name: %v", typ, err)
		}
		for name := range payload {
			if schema.Properties[name] == nil && name != "memberOfTheFuture" {
				t.Errorf("%s: the schema does not name %s", typ, name)
			}
		}
		if Summary(typ) == "" {
			t.Errorf("%s has no summary", typ)
		}
		described(t, string(typ), schema)
	}
	if len(summaries) != len(events.Types()) {
		t.Errorf("%d summaries of %d types", len(summaries), len(events.Types()))
	}
}

// described fails the test for a member without a description.
func described(t *testing.T, path string, s *jsonschema.Schema) {
	t.Helper()
	for name, member := range s.Properties {
		if member.Description == "" {
			t.Errorf("%s.%s has no description: add the tag jsonschema to its field", path, name)
		}
		described(t, path+"."+name, member)
		if member.Items != nil {
			described(t, path+"."+name+"[]", member.Items)
		}
	}
}

// A schema refuses payloads of the wrong type.
func TestSchemasRefuse(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  events.Type
		text string
	}{
		{events.TypeLeaderElected, `{"id":7,"term":1,"previous":null}`},
		{events.TypeLeaderElected, `{"id":"w","term":"1","previous":null}`},
		{events.TypeLeaderElected, `{"term":1,"previous":null}`},
		{events.TypeInstanceFailed, `{"id":"w","roles":null,"lastSeen":1,"tasksReassigned":0,"timestamp":1}`},
		{events.TypeTodoUpdated, `{"source":"x","sessionId":"s","instanceId":null,"todos":[{"id":"1"}],"dropped":0}`},
	} {
		schema, err := Payload(c.typ)
		if err != nil {
			t.Fatal(err)
		}
		resolved, err := schema.Resolve(nil)
		if err != nil {
			t.Fatal(err)
		}
		var payload any
		if err := json.Unmarshal([]byte(c.text), &payload); err != nil {
			t.Fatal(err)
		}
		if resolved.Validate(payload) == nil {
			t.Errorf("%s accepts %s", c.typ, c.text)
		}
	}
	if _, err := Payload("task.invented"); err == nil || !strings.Contains(err.Error(), "task.invented") {
		t.Errorf("an unknown type: %v", err)
	}
}
