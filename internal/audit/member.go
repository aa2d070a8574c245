package audit

import (
	"encoding/json"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// members yields the members of a JSON object in order, until yield returns false. A duplicate name
// is yielded twice: the caller must choose the same one as the commands. Text that is not an object
// has no members, because the log may contain what this program did not write.
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
