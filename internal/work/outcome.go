package work

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"time"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/process"
)

// Outcome is what to report of a task: exactly one of its members is set.
type Outcome struct {
	Result json.RawMessage
	Error  *Failure
}

// Failure is the error of a task whose command has failed.
type Failure struct {
	Message   string `json:"message"`
	ExitCode  *int   `json:"exitCode,omitempty"` // unless a signal ended the command
	Signal    string `json:"signal,omitempty"`
	TimeoutMs int64  `json:"timeoutMs,omitempty"` // if the command took longer
	Stderr    string `json:"stderr"`              // its end
}

const (
	// maxResult is the maximum number of bytes of a result.
	maxResult = 256 << 10
	// maxStderr is how many bytes of the end of standard error an error has.
	maxStderr = 8 << 10
	// maxDepth is how deep the arrays and objects of a result may be nested. A coordinator reads 64
	// levels, some of which belong to the call.
	maxDepth = 56
)

func outcome(r process.Result, timeout time.Duration) Outcome {
	f := &Failure{Stderr: string(bytes.ToValidUTF8(r.Stderr, []byte("\ufffd")))}
	switch {
	case errors.Is(r.Stopped, errTimeout):
		f.Message, f.TimeoutMs = fmt.Sprintf("timeout after %v", timeout), timeout.Milliseconds()
	case r.Signal != 0:
		f.Message = fmt.Sprintf("ended by signal %d (%v)", int(r.Signal), r.Signal)
	case r.Code != 0:
		f.Message = fmt.Sprintf("exit code %d", r.Code)
	default:
		return Outcome{Result: result(r.Stdout, r.StdoutBytes)}
	}
	if r.Signal != 0 {
		f.Signal = signalName(r.Signal)
	} else {
		f.ExitCode = &r.Code
	}
	return Outcome{Error: f}
}

// result returns standard output as the result of a task: JSON as it is, any other text as
// {"output": text}. At most maxResult bytes are kept; cutBytes says how many more there were.
func result(stdout []byte, all int64) json.RawMessage {
	complete := int64(len(stdout)) == all
	if complete {
		text := bytes.ToValidUTF8(bytes.TrimSpace(stdout), []byte("\ufffd"))
		if len(text) <= maxResult && json.Valid(text) && depth(text) <= maxDepth {
			return text
		}
		stdout = bytes.TrimRight(stdout, "\r\n")
		all = int64(len(stdout))
	}
	// The longest beginning whose JSON is short enough.
	room := maxResult - len(`{"output":"","cutBytes":}`) - len("9223372036854775807")
	text := append(make([]byte, 0, min(len(stdout), room)+64), `{"output":"`...)
	kept := 0
	for kept < len(stdout) {
		if !complete && !utf8.FullRune(stdout[kept:]) {
			break // the rest of this character was cut off
		}
		r, size := utf8.DecodeRune(stdout[kept:])
		before := len(text)
		if text = appendRune(text, r); len(text) > room {
			text = text[:before]
			break
		}
		kept += size
	}
	text = append(text, '"')
	if cut := all - int64(kept); cut > 0 {
		text = fmt.Appendf(text, `,"cutBytes":%d`, cut)
	}
	return append(text, '}')
}

// appendRune appends a character as it stands in a JSON string.
func appendRune(text []byte, r rune) []byte {
	switch r {
	case '"', '\\':
		return append(text, '\\', byte(r))
	case '\n':
		return append(text, `\n`...)
	case '\r':
		return append(text, `\r`...)
	case '\t':
		return append(text, `\t`...)
	}
	if r < ' ' {
		return fmt.Appendf(text, `\u%04x`, r)
	}
	return utf8.AppendRune(text, r)
}

// depth returns how deep the arrays and objects of valid JSON are nested.
func depth(text []byte) int {
	now, most, quoted := 0, 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case quoted && c == '\\':
			i++
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{' || c == '[':
			now++
			most = max(most, now)
		case c == '}' || c == ']':
			now--
		}
	}
	return most
}
