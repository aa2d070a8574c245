package archive

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"

	"github.com/claudebench/claudebench/events"
)

// A line is an envelope as stored. Every envelope of the scripts begins with usual. An entry that
// is not one line of JSON, or not an event, is a line that begins with odd.
var (
	usual = []byte(`{"id":"`)
	odd   = []byte(`{"entry":"`)
)

// oddLine has the entry's ID, and its bytes in base64; null if the entry has none.
type oddLine struct {
	Entry events.ID `json:"entry"`
	Raw   *string   `json:"raw"`
}

// appendLine appends an entry's line.
func appendLine(dst []byte, e events.Entry) ([]byte, error) {
	if e.Err == nil && bytes.HasPrefix(e.Raw, usual) && bytes.IndexByte(e.Raw, '\n') < 0 && bytes.IndexByte(e.Raw, '\r') < 0 {
		return append(append(dst, e.Raw...), '\n'), nil
	}
	line := oddLine{Entry: e.ID}
	if e.Raw != nil {
		raw := base64.StdEncoding.EncodeToString(e.Raw)
		line.Raw = &raw
	}
	text, err := json.Marshal(line)
	if err != nil {
		return nil, fmt.Errorf("event %s: %w", e.ID, err)
	}
	return append(append(dst, text...), '\n'), nil
}

// lineID returns the ID of a line without decoding the rest.
func lineID(line []byte) (events.ID, error) {
	for _, prefix := range [][]byte{usual, odd} {
		rest, found := bytes.CutPrefix(line, prefix)
		if !found {
			continue
		}
		text, _, found := bytes.Cut(rest, []byte{'"'})
		if found {
			return events.ParseID(string(text))
		}
	}
	return events.ID{}, fmt.Errorf("%.60q is not an event", line)
}

// decodeLine returns the entry of a line, as a Reader of the log does. The entry shares the line's
// memory.
func decodeLine(line []byte) (events.Entry, error) {
	id, err := lineID(line)
	if err != nil {
		return events.Entry{}, err
	}
	raw := line
	if bytes.HasPrefix(line, odd) {
		var o oddLine
		if err := json.Unmarshal(line, &o); err != nil {
			return events.Entry{}, err
		}
		if o.Raw == nil {
			return events.DecodeEntry(id, nil), nil
		}
		if raw, err = base64.StdEncoding.DecodeString(*o.Raw); err != nil {
			return events.Entry{}, fmt.Errorf("event %s: %w", id, err)
		}
		if raw == nil {
			raw = []byte{}
		}
	}
	return events.DecodeEntry(id, raw), nil
}

// typeOf returns the type of an entry for the manifest's counts; "" for an entry that is no event.
func typeOf(e events.Entry) events.Type { return e.Envelope.Type }
