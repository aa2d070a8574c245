package work

import (
	"bytes"
	"encoding/json"
	"strings"
	"syscall"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/claudebench/claudebench/internal/process"
)

func TestResults(t *testing.T) {
	t.Parallel()
	for given, want := range map[string]string{
		"6\n":                          `6`,
		" {\"words\": 1.50}\r\n":       `{"words": 1.50}`,
		"null":                         `null`,
		"":                             `{"output":""}`,
		"\n":                           `{"output":""}`,
		"two words\n\n":                `{"output":"two words"}`,
		"a\n b\n":                      `{"output":"a\n b"}`,
		"{\"a\":1}\n{\"a\":2}\n":       `{"output":"{\"a\":1}\n{\"a\":2}"}`,
		"\x00\x1b[31m\"\\\t\u2028é😀":   `{"output":"\u0000\u001b[31m\"\\\t` + "\u2028é😀" + `"}`,
		"caf\xe9":                      `{"output":"caf` + "\ufffd" + `"}`,
		"\"caf\xe9\"":                  `"caf` + "\ufffd" + `"`,
		strings.Repeat("[", maxDepth):  "",
		"\"" + strings.Repeat("[", 99): "",
	} {
		got := string(result([]byte(given), int64(len(given))))
		if want == "" {
			want = `{"output":` + string(quoted(t, given)) + `}`
		}
		if got != want || !json.Valid([]byte(got)) {
			t.Errorf("%q becomes %s, want %s", given, got, want)
		}
	}
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	if got := string(result([]byte(deep), int64(len(deep)))); got != deep {
		t.Errorf("%s becomes %s", deep, got)
	}
	if got := string(result([]byte("["+deep+"]"), int64(len(deep))+2)); got != `{"output":"[`+deep+`]"}` {
		t.Errorf("deeper than a coordinator reads: %s", got)
	}
	if got := string(result([]byte(`"[[]"`), 5)); got != `"[[]"` {
		t.Errorf("%s", got)
	}
}

func quoted(t *testing.T, text string) []byte {
	t.Helper()
	out, err := json.Marshal(text)
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// A result has at most 256 KiB, whatever was printed, and says how much is missing.
func TestLongResults(t *testing.T) {
	t.Parallel()
	for name, printed := range map[string][]byte{
		"text":       bytes.Repeat([]byte("word "), 100_000),
		"zeros":      make([]byte, 300_000), // six bytes each in JSON
		"invalid":    bytes.Repeat([]byte{0xff}, 300_000),
		"characters": bytes.Repeat([]byte("😀"), 100_000),
		"JSON":       fill(`["`, maxResult, `"]`),
		"quotes":     bytes.Repeat([]byte(`"`), 200_000), // not cut on its way, but too long as JSON
	} {
		kept := printed[:min(len(printed), maxResult)]
		text := result(kept, int64(len(printed)))
		var got struct {
			Output   string
			CutBytes int
		}
		if err := json.Unmarshal(text, &got); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if len(text) > maxResult || len(text) < maxResult-100 || !utf8.ValidString(got.Output) {
			t.Errorf("%s: %d bytes", name, len(text))
		}
		whole := len(printed) - got.CutBytes
		if want := string(bytes.ToValidUTF8(printed[:whole], []byte("\ufffd"))); name != "invalid" && got.Output != want || got.CutBytes <= 0 {
			t.Errorf("%s: kept %d bytes, cut %d", name, len(got.Output), got.CutBytes)
		}
	}
}

func fill(begin string, size int, end string) []byte {
	return []byte(begin + strings.Repeat("x", size) + end)
}

func TestFailures(t *testing.T) {
	t.Parallel()
	for want, r := range map[string]process.Result{
		`{"message":"exit code 3","exitCode":3,"stderr":"no\n"}`:                                       {Code: 3, Stderr: []byte("no\n"), Stdout: []byte("x")},
		`{"message":"ended by signal 9 (killed)","signal":"SIGKILL","stderr":""}`:                      {Code: -1, Signal: syscall.SIGKILL},
		`{"message":"timeout after 1.5s","signal":"SIGTERM","timeoutMs":1500,"stderr":"` + "\ufffd\"}": {Code: -1, Signal: syscall.SIGTERM, Stopped: errTimeout, Stderr: []byte("\xff")},
		`{"message":"timeout after 1.5s","exitCode":0,"timeoutMs":1500,"stderr":""}`:                   {Stopped: errTimeout},
	} {
		got := outcome(r, 1500*time.Millisecond)
		text, err := json.Marshal(got.Error)
		if err != nil || got.Result != nil || string(text) != want {
			t.Errorf("%+v becomes %s, want %s", r, text, want)
		}
	}
}
