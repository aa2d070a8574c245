package commands

import "slices"

// maxRoles is how many roles an instance may have or a task may ask for.
const maxRoles = 64

// roleset gives the roles that a task's metadata asks for as a sorted JSON array without repetitions, ""
// when it asks for none. The metadata has been checked by its schema.
func roleset(metadata Object) string {
	var roles []string
	for name, v := range members(metadata) {
		if name == "roles" { // the last one counts, as it does for who reads the metadata
			roles = stringArray(v)
		}
	}
	if len(roles) == 0 {
		return ""
	}
	slices.Sort(roles)
	return jsonArray(slices.Compact(roles))
}

// stringArray decodes a valid JSON array of strings; null is none.
func stringArray(v []byte) []string {
	var list []string
	for i := 1; v[0] == '[' && v[i] != ']'; {
		item := value(v[i:])
		if i += len(item); v[i] == ',' {
			i++
		}
		list = append(list, unquote(item))
	}
	return list
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
