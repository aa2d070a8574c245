package audit

import (
	"encoding/json"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// members goes through the members of a JSON object in their order, until yield says no. A name
// that comes twice is given twice: which of them counts is for the caller to say, as it is for the
// commands. Text that is no object has no members: the log may hold what this program did not
// write.
func members(object string, yield func(name string, value json.RawMessage) bool) {
	compact, err := jsontext.Compact([]byte(object))
	if err != nil {
		return
	}
	for name, value := range jsontext.Members(compact) {
		if !yield(name, value) {
			return
		}
	}
}
