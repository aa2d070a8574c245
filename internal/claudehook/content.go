package claudehook

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"slices"
	"strconv"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/jsontext"
)

// Level is how much of a hook's content is stored.
type Level string

// The levels.
const (
	None  Level = "none"  // nothing
	Names Level = "names" // names and lengths
	Full  Level = "full"  // everything, up to MaxContent
)

// Set parses a level. It implements pflag.Value.
func (l *Level) Set(text string) error {
	if level := Level(text); level != None && level != Names && level != Full {
		return errors.New("must be none, names or full")
	}
	*l = Level(text)
	return nil
}

func (l *Level) String() string { return string(*l) }

// Type is the name of the value in --help.
func (l *Level) Type() string { return "level" }

// MaxContent is the maximum length of a content in bytes of JSON.
const MaxContent = 16 << 10

const (
	// maxFields is the maximum number of a body's members in a content.
	maxFields = 64
	// maxNames is the maximum number of a tool's inputs whose names are stored.
	maxNames = 32
	// others stands in the list of cut fields for those with a long name and those beyond maxFields.
	others = "*"
	// envelope is more than the length of a content without fields.
	envelope = 128
)

// members of every event's payload, and those that every hook has, which only Full stores.
var (
	payload = []string{"session_id", "hook_event_name", "prompt_id", "tool_name", "tool_use_id", "duration_ms", "agent_id", "agent_type"}
	common  = []string{"transcript_path", "cwd", "permission_mode", "effort"}
)

// Content returns what a level permits to store of the hook, as an events.HookContent in JSON, or
// nil for None. It is at most MaxContent bytes long.
func (h *Hook) Content(level Level) json.RawMessage {
	if level == None {
		return nil
	}
	fields, cut := slices.DeleteFunc(slices.Clone(h.members), func(m member) bool {
		return slices.Contains(payload, m.name) || m.name == h.reason || level == Names && (slices.Contains(common, m.name) || !plain(m.name))
	}), []string{}
	if level == Names {
		fields = fields[:min(len(fields), maxNames)]
		for i, f := range fields {
			fields[i].value = lengths(f)
		}
	} else {
		fields, cut = fit(fields)
	}
	b := append([]byte(`{"level":"`), level...)
	b = append(strconv.AppendInt(append(b, `","bytes":`...), int64(h.bytes), 10), `,"fields":{`...)
	for i, f := range fields {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(append(append(b, jsontext.Quote(f.name)...), ':'), f.value...)
	}
	return append(append(append(b, `},"cut":`...), jsontext.Array(cut)...), '}')
}

// lengths returns what Names stores of a field.
func lengths(f member) []byte {
	b := strconv.AppendInt([]byte(`{"bytes":`), int64(len(f.value)), 10)
	if f.name != "tool_input" || f.value[0] != '{' {
		return append(b, '}')
	}
	b = append(b, `,"members":{`...)
	count := 0
	for _, m := range membersOf(f.value) {
		if !plain(m.name) || count == maxNames {
			continue
		}
		if count++; count > 1 {
			b = append(b, ',')
		}
		b = strconv.AppendInt(append(append(b, jsontext.Quote(m.name)...), ':'), int64(len(m.value)), 10)
	}
	return append(b, `}}`...)
}

// fit cuts the longest fields so that all fit into a content, and returns the names of what it cut.
// A shorter field leaves the room that it does not need to the longer ones.
func fit(all []member) (fields []member, cut []string) {
	fields, cut = all[:0], []string{}
	room := MaxContent - envelope
	for _, f := range all {
		if len(fields) == maxFields || len(f.name) > maxWord {
			cut = []string{others}
			continue
		}
		fields = append(fields, f)
		room -= 2 * (len(jsontext.Quote(f.name)) + 2) // as a name and in the list of cut fields
	}
	bySize := make([]int, len(fields))
	for i := range bySize {
		bySize[i] = i
	}
	slices.SortStableFunc(bySize, func(a, b int) int { return cmp.Compare(len(fields[a].value), len(fields[b].value)) })
	for n, i := range bySize {
		f := &fields[i]
		if share := room / (len(bySize) - n); len(f.value) > share {
			f.value = beginning(f.value, share)
			cut = append(cut, f.name)
		}
		room -= len(f.value)
	}
	return fields, cut
}

// beginning returns a string in JSON of at most so many bytes: the beginning of a value's text, or
// of its JSON text if it is not a string. It ends between two characters.
func beginning(value []byte, most int) []byte {
	whole := value
	if s := text(value); s != nil {
		whole = []byte(*s)
	}
	for n := min(len(whole), most-2); n > 0; {
		for n > 0 && n < len(whole) && !utf8.RuneStart(whole[n]) {
			n--
		}
		quoted := jsontext.Quote(string(whole[:n]))
		if len(quoted) <= most {
			return quoted
		}
		n = min(n-1, n*most/len(quoted)) // escapes made it longer
	}
	return []byte(`""`)
}

// Readable returns a body with U+FFFD instead of what is not UTF-8. Agents read files of any kind,
// and their hooks must not fail for it.
func Readable(body []byte) []byte {
	if utf8.Valid(body) {
		return body
	}
	return bytes.ToValidUTF8(body, []byte("\uFFFD"))
}
