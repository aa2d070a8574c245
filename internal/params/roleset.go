package params

import (
	"slices"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// MaxRoles is how many roles an instance may have or a task may ask for.
const MaxRoles = 64

// RoleSet returns the roles that a task's metadata asks for as a sorted JSON array without
// repetitions, "" when it asks for none. The metadata has been checked by its schema.
func RoleSet(metadata api.Object) string {
	var roles []string
	for name, v := range jsontext.Members(metadata) {
		if name == "roles" { // the last one counts, as it does for who reads the metadata
			roles = jsontext.Strings(v)
		}
	}
	if len(roles) == 0 {
		return ""
	}
	slices.Sort(roles)
	return jsontext.Array(slices.Compact(roles))
}
