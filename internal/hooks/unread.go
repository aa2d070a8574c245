package hooks

import (
	"encoding/json"
	"io"
	"net/http"

	"github.com/claudebench/claudebench/events"
	"github.com/claudebench/claudebench/internal/claudehook"
	"github.com/claudebench/claudebench/internal/httpapi"
	"github.com/claudebench/claudebench/internal/jsontext"
)

const (
	// keptBeginning is how much of a body is kept for the case that the rest cannot be read, in
	// bytes. The names are in the first kilobyte, unless paths are long.
	keptBeginning = 64 << 10
	// maxDrained is how much of a body that is too long is read before the answer, in bytes. A
	// client that cannot send its body to the end may never read the answer.
	maxDrained = 32 << 20
)

// beginning is a body that keeps the first bytes that were read from it.
type beginning struct {
	from io.ReadCloser
	kept []byte
}

func (b *beginning) Read(p []byte) (int, error) {
	n, err := b.from.Read(p)
	b.kept = append(b.kept, p[:min(n, keptBeginning-len(b.kept))]...)
	return n, err //nolint:wrapcheck // io.Reader needs io.EOF itself
}

func (b *beginning) Close() error {
	return b.from.Close() //nolint:wrapcheck // the body's own error
}

// unread answers a hook whose body is too long or too deep to be read, if it asks for a tool that
// the policy has a rule about. It reports whether it did. Claude Code runs the tool if the answer is
// an error, so such a body would evade the policy. What the beginning says is recorded.
func (h *Handler) unread(w http.ResponseWriter, r *http.Request, b *beginning) bool {
	if h.options.Unread == nil {
		return false
	}
	for len(b.kept) < keptBeginning { // ReadBody reads nothing if the announced length is too long
		if _, err := io.CopyN(io.Discard, b, int64(keptBeginning-len(b.kept))); err != nil {
			break
		}
	}
	head := json.RawMessage(claudehook.Head(b.kept))
	if head == nil {
		return false
	}
	head, _ = jsontext.Readable(head)
	hook := claudehook.Parse(head)
	tool := ""
	if hook.Tool != nil {
		tool = *hook.Tool
	}
	decided, as := h.options.Unread(tool), hook.Type
	switch {
	case decided == nil:
		return false
	case hook.Name == "":
		// Claude Code ignores the answer if it is the wrong one, as it ignores an error.
		as = events.TypeHookToolRequested
	case !claudehook.Asks(hook.Type):
		return false
	}
	request := httpapi.NewRequest(r, h.options.Caller)
	request.Method = method
	cause, unfit := httpapi.Correlation(w, r)
	if unfit != nil {
		return false
	}
	_, _ = io.CopyN(io.Discard, b.from, maxDrained)
	request.Cause, request.Params = cause, append(append([]byte(`{"hook":`), head...), '}')
	h.count(decided)
	h.record(w, r, request, decided, claudehook.Answer(as, decided.Decision, decided.Reason))
	return true
}
