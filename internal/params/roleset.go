package params

import (
	"slices"

	"github.com/claudebench/claudebench/internal/api"
	"github.com/claudebench/claudebench/internal/jsontext"
)

// MaxRoles is the maximum number of roles that an instance has or a task requires.
const MaxRoles = 64

// RoleSet returns the roles that a task's metadata requires, as a sorted JSON array without
// duplicates, or "" if it requires none. The schema has already validated the metadata.
func RoleSet(metadata api.Object) string {
	var roles []string
	for name, v := range jsontext.Members(metadata) {
		if name == "roles" { // the last one counts, as for readers of the metadata
			roles = jsontext.Strings(v)
		}
	}
	if len(roles) == 0 {
		return ""
	}
	slices.Sort(roles)
	return jsontext.Array(slices.Compact(roles))
}
