package fold

import (
	"encoding/json"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// members yields the members of a JSON object in order, until yield returns false. A duplicate name
// is yielded twice: the caller must choose the same one as the commands. Text that is not an object
// has no members. It is no error here, because another program may have written to the log.
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
