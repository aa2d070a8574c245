package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

const sample = `{"id":"1700000000000-42","seq":42,"type":"task.claimed","v":1,"timestamp":1700000000000,` +
	`"actor":"w1","cause":null,"trace":null,"payload":{"taskId":"t-1","workerId":"w1","attempt":3}}`

func TestDecodeRefuses(t *testing.T) {
	replace := func(old, new string) string { return strings.Replace(sample, old, new, 1) }
	for name, c := range map[string]struct{ data, member string }{
		"empty":                {"", ""},
		"no JSON":              {"hello", ""},
		"null":                 {"null", ""},
		"an array":             {"[]", ""},
		"cut short":            {sample[:len(sample)-1], ""},
		"trailing text":        {sample + "x", ""},
		"no id":                {replace(`"id":"1700000000000-42",`, ""), "id"},
		"no actor":             {replace(`"actor":"w1",`, ""), "actor"},
		"no cause":             {replace(`"cause":null,`, ""), "cause"},
		"no trace":             {replace(`"trace":null,`, ""), "trace"},
		"null actor":           {replace(`"actor":"w1"`, `"actor":null`), "actor"},
		"member in other case": {replace(`"seq"`, `"Seq"`), "seq"},
		"id without seq":       {replace("1700000000000-42", "1700000000000"), "id"},
		"id with a sign":       {replace("1700000000000-42", "1700000000000-+42"), "id"},
		"id with zeros":        {replace("1700000000000-42", "1700000000000-042"), "id"},
		"other seq":            {replace(`"seq":42`, `"seq":43`), "seq"},
		"seq as text":          {replace(`"seq":42`, `"seq":"42"`), "seq"},
		"fractional seq":       {replace(`"seq":42`, `"seq":42.5`), "seq"},
		"other timestamp":      {replace(`"timestamp":1700000000000`, `"timestamp":1700000000001`), "timestamp"},
		"version 0":            {replace(`"v":1`, `"v":0`), "v"},
		"empty type":           {replace("task.claimed", ""), "type"},
		"payload no object":    {replace(`{"taskId":"t-1","workerId":"w1","attempt":3}`, `[1]`), "payload"},
		"payload broken":       {replace(`"attempt":3`, `"attempt":`), ""},
		"cause a number":       {replace(`"cause":null`, `"cause":7`), "cause"},
	} {
		t.Run(name, func(t *testing.T) {
			e, err := Decode([]byte(c.data))
			var de *DecodeError
			if !errors.As(err, &de) || !errors.Is(err, ErrMalformed) {
				t.Fatalf("got %+v, %v; want a DecodeError", e, err)
			}
			if de.Member != c.member {
				t.Errorf("blames %q, want %q: %v", de.Member, c.member, err)
			}
		})
	}
}

func TestDecodeTolerates(t *testing.T) {
	want, err := Decode([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		"another member":      strings.Replace(sample, `"payload"`, `"region":{"x":[1]},"payload"`, 1),
		"a member at the end": sample[:len(sample)-1] + `,"region":1}`,
		"another order":       `{"payload":{"taskId":"t-1","workerId":"w1","attempt":3},` + strings.Replace(sample[1:], `,"payload":{"taskId":"t-1","workerId":"w1","attempt":3}`, "", 1),
		"space":               " " + strings.Replace(sample, ",", " ,\n", 3) + "\n",
		"escapes":             strings.Replace(sample, "task.claimed", `task\u002eclaimed`, 1),
	} {
		t.Run(name, func(t *testing.T) {
			got, err := Decode([]byte(data))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Error(diff)
			}
		})
	}
}

func TestEnvelopeStringsSurvive(t *testing.T) {
	cause := "</script>&\u2028\"\\\x01é"
	want := Envelope{ID: ID{1, 2}, Seq: 2, Type: "x.y", V: 1, Timestamp: 1, Actor: "a/b<c>", Cause: &cause, Payload: json.RawMessage(`{"a":"<>&"}`)}
	data, err := want.Encode()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(data), `a/b<c>`) || !strings.Contains(string(data), `"<>&"`) {
		t.Errorf("escaped for HTML: %s", data)
	}
	got, err := Decode(data)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	var viaJSON Envelope
	if err := json.Unmarshal(data, &viaJSON); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, viaJSON); diff != "" {
		t.Error(diff)
	}
}

func TestUnknownTypesAndVersions(t *testing.T) {
	e, err := Decode([]byte(strings.Replace(sample, "task.claimed", "task.invented", 1)))
	if err != nil {
		t.Fatalf("an unknown type's envelope must decode: %v", err)
	}
	if _, err := e.Decoded(); !errors.Is(err, ErrUnknownType) {
		t.Errorf("got %v, want ErrUnknownType", err)
	}
	e, err = Decode([]byte(strings.Replace(sample, `"v":1`, `"v":9`, 1)))
	if err != nil {
		t.Fatalf("a newer version's envelope must decode: %v", err)
	}
	if _, err := PayloadAs[TaskClaimed](e); !errors.Is(err, ErrUnknownVersion) {
		t.Errorf("got %v, want ErrUnknownVersion", err)
	}
	e, err = Decode([]byte(strings.Replace(sample, `"attempt":3`, `"attempt":"3"`, 1)))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := e.Decoded(); !errors.Is(err, ErrMalformed) {
		t.Errorf("got %v, want ErrMalformed", err)
	}
}

func TestPayloadAs(t *testing.T) {
	e, err := Decode([]byte(sample))
	if err != nil {
		t.Fatal(err)
	}
	whole, err := PayloadAs[TaskClaimed](e)
	if err != nil || whole.Attempt != 3 || whole.TaskID != "t-1" {
		t.Errorf("got %+v, %v", whole, err)
	}
	part, err := PayloadAs[struct{ WorkerID string }](e)
	if err != nil || part.WorkerID != "w1" {
		t.Errorf("got %+v, %v", part, err)
	}
}

func TestUpcasters(t *testing.T) {
	type v3 struct{ A, B, C int }
	add := func(member string) upcaster {
		return func(p json.RawMessage) (json.RawMessage, error) {
			return json.RawMessage(strings.TrimSuffix(string(p), "}") + `,"` + member + `":7}`), nil
		}
	}
	d := define[v3]("test.lifted", add("b"), add("c"))
	for v, want := range map[int]v3{1: {1, 7, 7}, 2: {1, 0, 7}, 3: {1, 0, 0}} {
		payload, err := d.lift(Envelope{Type: d.typ, V: v, Payload: json.RawMessage(`{"a":1}`)})
		if err != nil {
			t.Fatal(err)
		}
		var got v3
		if err := json.Unmarshal(payload, &got); err != nil || got != want {
			t.Errorf("v%d: got %+v, %v, want %+v", v, got, err, want)
		}
	}
	failing := define[v3]("test.lifted", func(json.RawMessage) (json.RawMessage, error) { return nil, os.ErrInvalid })
	if _, err := failing.lift(Envelope{V: 1}); !errors.Is(err, os.ErrInvalid) {
		t.Errorf("got %v", err)
	}
	defer func() {
		if recover() == nil {
			t.Error("a type listed twice must stop the start")
		}
	}()
	mustIndex(d, d)
}

func TestID(t *testing.T) {
	for _, s := range []string{"", "-", "1", "1-", "-1", "01-1", "1-01", "1--1", "1-1 ", "1-1-1", "9223372036854775808-0", "18446744073709551615-1"} {
		if id, err := ParseID(s); !errors.Is(err, ErrInvalidID) {
			t.Errorf("%q: got %v, %v", s, id, err)
		}
	}
	for _, id := range []ID{{}, {1, 0}, {0, 1}, {math.MaxInt64, math.MaxInt64}} {
		got, err := ParseID(id.String())
		if err != nil || got != id {
			t.Errorf("%s: got %v, %v", id, got, err)
		}
	}
	order := []ID{{}, {0, 1}, {1, 0}, {1, 1}, {2, 0}}
	for i, a := range order {
		for j, b := range order {
			if got, want := a.Compare(b), cmpInt(i, j); got != want {
				t.Errorf("%s against %s: %d, want %d", a, b, got, want)
			}
		}
	}
}

func cmpInt(a, b int) int {
	switch {
	case a < b:
		return -1
	case a > b:
		return 1
	}
	return 0
}

func TestFilter(t *testing.T) {
	for _, c := range []struct {
		list string
		want []Type
	}{
		{"*", []Type{"task.created", "task.failed", "instance.failed", "tasks.x"}},
		{"task.*", []Type{"task.created", "task.failed"}},
		{"task.created, instance.failed", []Type{"task.created", "instance.failed"}},
		{"leader.elected", nil},
	} {
		f, err := ParseFilter(c.list)
		if err != nil {
			t.Fatal(err)
		}
		var got []Type
		for _, typ := range []Type{"task.created", "task.failed", "instance.failed", "tasks.x"} {
			if f.Match(typ) {
				got = append(got, typ)
			}
		}
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%q: %s", c.list, diff)
		}
	}
	for _, list := range []string{"", "task*", ".*", "task.*.x", "a,,b", "*.created"} {
		if _, err := ParseFilter(list); err == nil {
			t.Errorf("%q was taken", list)
		}
	}
}

func goldens(tb testing.TB) [][]byte {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		tb.Fatalf("no golden files: %v", err)
	}
	var list [][]byte
	for _, file := range files {
		data, err := os.ReadFile(file)
		if err != nil {
			tb.Fatal(err)
		}
		list = append(list, data[:len(data)-1])
	}
	return list
}

// FuzzDecode compares the fast decoder with the general one: decodeAny must read alike whatever
// scan accepts.
func FuzzDecode(f *testing.F) {
	for _, data := range goldens(f) {
		f.Add(data)
	}
	f.Add([]byte(strings.Replace(sample, "w1", `\ud800"\/\u00e9é`, 1)))
	f.Add([]byte(strings.Replace(sample, "w1", "\xff", 1)))
	f.Add([]byte(sample[:len(sample)-1] + `,"payload":{}}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		any, anyErr := decodeAny(data)
		if scanned, ok := scan(data); ok && scanned.check() == nil {
			if anyErr != nil {
				t.Fatalf("scan takes what encoding/json does not: %v", anyErr)
			}
			if diff := cmp.Diff(any, scanned); diff != "" {
				t.Fatal(diff)
			}
		}
		got, err := Decode(data)
		if (err == nil) != (anyErr == nil) {
			t.Fatalf("Decode: %v, decodeAny: %v", err, anyErr)
		}
		if err != nil {
			return
		}
		again, err := got.Encode()
		if err != nil {
			t.Fatal(err)
		}
		// A type with escapes or non-ASCII characters takes the slow path. No type of ours has any.
		if _, ok := scan(again); !ok && isPlain(string(got.Type)) {
			t.Fatalf("Encode does not spell as the log does: %s", again)
		}
		if reread, err := Decode(again); err != nil || !cmp.Equal(reread, got, cmp.Comparer(samePayload)) {
			t.Fatalf("%s is read as %+v, %v", again, reread, err)
		}
	})
}

// samePayload compares payloads and ignores white space.
func samePayload(a, b json.RawMessage) bool {
	var x, y bytes.Buffer
	return json.Compact(&x, a) == nil && json.Compact(&y, b) == nil && bytes.Equal(x.Bytes(), y.Bytes())
}

// isPlain reports whether JSON writes the text without escapes and in ASCII.
func isPlain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r > '~' || r == '"' || r == '\\' })
}

func BenchmarkDecode(b *testing.B) {
	list := goldens(b)
	var size int64
	for _, data := range list {
		size += int64(len(data))
	}
	for name, decode := range map[string]func([]byte) (Envelope, error){"scan": Decode, "encoding-json": decodeAny} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(size / int64(len(list)))
			for i := 0; b.Loop(); i++ {
				if _, err := decode(list[i%len(list)]); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
	b.Run("scan+payload", func(b *testing.B) {
		b.ReportAllocs()
		for i := 0; b.Loop(); i++ {
			e, err := Decode(list[i%len(list)])
			if err != nil {
				b.Fatal(err)
			}
			if _, err := e.Decoded(); err != nil {
				b.Fatal(err)
			}
		}
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "events/s")
	})
}
