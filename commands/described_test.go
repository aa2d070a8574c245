package commands_test

import (
	"testing"

	"github.com/google/jsonschema-go/jsonschema"

	"github.com/claudebench/claudebench/internal/fleettest"
)

// Every param has a description, for the docs, for system.discover and for models.
func TestEveryParamHasADescription(t *testing.T) {
	t.Parallel()
	for _, m := range fleettest.NewChecker(t).Methods() {
		describedParams(t, m.Name, m.Params)
	}
}

func describedParams(t *testing.T, path string, object *jsonschema.Schema) {
	t.Helper()
	for name, p := range object.Properties {
		if p.Description == "" {
			t.Errorf("%s.%s has no description", path, name)
		}
		describedParams(t, path+"."+name, p)
	}
}
