package commands

import (
	"bytes"
	"fmt"
	"slices"
	"unicode"
)

// maxRoles is how many roles an instance may have or a task may ask for.
const maxRoles = 64

// roleset gives the roles that a task's metadata asks for as a sorted JSON array without repetitions, ""
// when it asks for none. The error is an *Error.
func roleset(metadata Object) (string, error) {
	for name, v := range members(metadata) {
		if name != "roles" || bytes.Equal(v, []byte("null")) {
			continue
		}
		roles, wrong := stringArray(v)
		if wrong != "" {
			return "", InvalidParams("metadata.roles parameter " + wrong)
		}
		if len(roles) == 0 {
			return "", nil
		}
		slices.Sort(roles)
		return jsonArray(slices.Compact(roles)), nil
	}
	return "", nil
}

// stringArray decodes a JSON array of role names, and says what is wrong with it.
func stringArray(v []byte) ([]string, string) {
	const must = "must be an array of non-empty strings"
	if v[0] != '[' {
		return nil, must
	}
	var roles []string
	for i := 1; v[i] != ']'; {
		item := value(v[i:])
		if i += len(item); v[i] == ',' {
			i++
		}
		if item[0] != '"' {
			return nil, must
		}
		role := unquote(item)
		if role == "" {
			return nil, must
		}
		if len(role) > maxIDBytes || slices.ContainsFunc([]rune(role), unicode.IsControl) {
			return nil, fmt.Sprintf("must hold names of at most %d bytes without control characters", maxIDBytes)
		}
		roles = append(roles, role)
	}
	if len(roles) > maxRoles {
		return nil, fmt.Sprintf("must hold at most %d roles", maxRoles)
	}
	return roles, ""
}

func jsonArray[S ~string](list []S) string {
	b := []byte{'['}
	for i, s := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, quote(string(s))...)
	}
	return string(append(b, ']'))
}
