package rpc_test

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/claudebench/claudebench/internal/api"
)

func TestWhatIsNoRequestIsRefusedByName(t *testing.T) {
	h := newHandler(func(context.Context, api.Request) (json.RawMessage, *api.Error) {
		t.Error("what is refused must not be run")
		return nil, nil
	})
	deep := func(n int) string { return strings.Repeat("[", n) + strings.Repeat("]", n) }
	for _, tc := range []struct {
		name, body, id string
		code           int
		data           string
	}{
		{"nothing", ``, "null", -32700, "a value was expected at byte offset 0"},
		{"white space", " \n", "null", -32700, "at byte offset 2"},
		{"two values", `{} {}`, "null", -32700, "expected the end of the body, found '{' at byte offset 3"},
		{"a string", `"x"`, "null", -32600, "a request must be an object"},
		{"a comma too many", `{"id":1,}`, "null", -32700, "a member's name in quotes, found '}' at byte offset 8"},
		{"a comma too many in a batch", `[1,]`, "null", -32700, "a value, found ']' at byte offset 3"},
		{"a leading zero", `{"id":01}`, "null", -32700, "found '1' at byte offset 7"},
		{"half a fraction", `{"id":1.}`, "null", -32700, "expected a digit, found '}' at byte offset 8"},
		{"NaN", `{"id":NaN}`, "null", -32700, "found 'N' at byte offset 6"},
		{"a half word", `{"id":nul}`, "null", -32700, "byte offset 6"},
		{"a byte order mark", "\xef\xbb\xbf{}", "null", -32700, "byte offset 0"},
		{"an invalid escape", `{"id":"\x"}`, "null", -32700, "an invalid escape in a string at byte offset 7"},
		{"half an escape", `{"id":"\u12"}`, "null", -32700, "an invalid escape in a string at byte offset 7"},
		{"a raw newline in a string", "{\"id\":\"\n\"}", "null", -32700, "a control character in a string, where it must be escaped, at byte offset 7"},
		{"no UTF-8", "{\"id\":\"a\xff\"}", "null", -32700, "not valid UTF-8 at byte offset 8"},
		{"a surrogate in UTF-8", "{\"id\":\"\xed\xa0\x80\"}", "null", -32700, "not valid UTF-8 at byte offset 7"},
		{"an open string", `{"id":"a`, "null", -32700, "the body ends inside a string at byte offset 8"},
		{"a parse error behind a fault", `{"jsonrpc":"1.0","id":1,"method":7,}`, "null", -32700, "byte offset 35"},

		{"no version", `{"method":"m","id":1}`, "1", -32600, `jsonrpc must be exactly "2.0"`},
		{"another version", `{"jsonrpc":"1.0","method":"m","id":1}`, "1", -32600, `jsonrpc must be exactly "2.0"`},
		{"a version that is a number", `{"jsonrpc":2.0,"method":"m","id":1}`, "1", -32600, `jsonrpc must be exactly "2.0"`},
		{"no method", `{"jsonrpc":"2.0","id":"x"}`, `"x"`, -32600, "method is missing"},
		{"a method that is null", `{"jsonrpc":"2.0","method":null,"id":1}`, "1", -32600, "method must be a string"},
		{"a method in other case", `{"jsonrpc":"2.0","Method":"m","id":1}`, "1", -32600, "method is missing"},
		{"params that are a number", `{"jsonrpc":"2.0","method":"m","params":0,"id":1}`, "1", -32600, "params must be an object"},
		{"params that are a string, no id", `{"jsonrpc":"2.0","method":"m","params":"x"}`, "null", -32600, "params must be an object"},
		{"params by position", `{"jsonrpc":"2.0","method":"m","params":[ null ],"id":1}`, "1", -32602, "params must be an object, not an array"},
		{"an id that is an object", `{"jsonrpc":"2.0","method":"m","id":{"a": 1}}`, "null", -32600, "id must be a string, a number or null"},
		{"an id that is an array", `{"jsonrpc":"2.0","method":"m","id":[]}`, "null", -32600, "id must be"},
		{"an id that is true", `{"jsonrpc":"2.0","method":"m","id":true}`, "null", -32600, "id must be"},
		{"two methods", `{"jsonrpc":"2.0","method":"m","method":"n","id":1}`, "1", -32600, `the member "method" is repeated`},
		{"two methods, one escaped", `{"jsonrpc":"2.0","method":"m","\u006dethod":"n","id":1}`, "1", -32600, "is repeated"},
		{"two params", `{"jsonrpc":"2.0","method":"m","params":{},"params":{},"id":1}`, "1", -32600, `the member "params" is repeated`},
		{"two ids", `{"jsonrpc":"2.0","method":"m","id":1,"id":2}`, "null", -32600, `the member "id" is repeated`},
		{"three ids", `{"jsonrpc":"2.0","method":"m","id":1,"id":2,"id":3}`, "null", -32600, `the member "id" is repeated`},
		{"metadata that is a list", `{"jsonrpc":"2.0","method":"m","metadata":[],"id":1}`, "1", -32600, "metadata must be an object"},
		{"a correlationId that is an object", `{"jsonrpc":"2.0","method":"m","metadata":{"correlationId":{}},"id":1}`, "1", -32600, "metadata.correlationId must be a string"},
		{"two correlationIds", `{"jsonrpc":"2.0","method":"m","metadata":{"correlationId":"a","correlationId":"b"},"id":1}`, "1", -32600, "is repeated"},
		{"a correlationId that is too long", `{"jsonrpc":"2.0","method":"m","metadata":{"correlationId":"` + strings.Repeat("x", 257) + `"},"id":1}`, "1", -32600, "at most 256 bytes long"},
		{"65 levels", `{"jsonrpc":"2.0","method":"m","params":{"a":` + deep(63) + `},"id":1}`, "null", -32600, "more than 64 levels deep"},
		{"65 levels, and never closed", strings.Repeat("[", 100000), "null", -32600, "more than 64 levels deep"},
		{"65 levels in a batch", `[{"jsonrpc":"2.0","method":"m","params":{"a":` + deep(62) + `},"id":1}]`, "null", -32600, "more than 64 levels deep"},
		{"1,001 calls", `[` + strings.Repeat(`1,`, 1000) + `1]`, "null", -32600, "a batch must contain at most 1000 calls"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, _, code, data := answered(t, h, tc.body)
			if id != tc.id || code != tc.code || !strings.Contains(data, tc.data) {
				t.Errorf("id %s, code %d, data %q; want %s, %d, %q", id, code, data, tc.id, tc.code, tc.data)
			}
		})
	}
}

func TestWhatTheDispatcherGets(t *testing.T) {
	var got api.Request
	h := newHandler(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		got = req
		return json.RawMessage(`1`), nil
	})
	deep := strings.Repeat("[", 62) + strings.Repeat("]", 62)
	long := strings.Repeat("é", 200)
	for _, tc := range []struct{ name, members, method, params, cause, id string }{
		{"no params", `"method":"a.b","id":1`, "a.b", `{}`, "1", "1"},
		{"params that are null", `"method":"a","params":null,"id":1`, "a", `{}`, "1", "1"},
		{"params that are an empty array", `"method":"a","params": [ ] ,"id":1`, "a", `{}`, "1", "1"},
		{"an id in an odd spelling", `"id":-0.10e+400,"method":"a"`, "a", `{}`, "-0.10e+400", "-0.10e+400"},
		{"an id with escapes", `"id":"\u0041\/\ud800","method":"a"`, "a", `{}`, "A/\ufffd", `"\u0041\/\ud800"`},
		{"params before the rest", `"params":{"x":1},"method":"a","id":null`, "a", `{"x":1}`, "", "null"},
		{
			"compaction", " \"method\" :\t\"a\" , \"params\"\r\n: { \"a b\" : [ 1 , { } , [ ] ,\n -0.10e+05 ] , \"c\":\" \\u00e9 \\/ x\\n\" } , \"id\" : \" i d \" ",
			"a", `{"a b":[1,{},[],-0.10e+05],"c":" \u00e9 \/ x\n"}`, " i d ", `" i d "`,
		},
		{"a large id", `"method":"a","id":123456789012345678901234567890`, "a", `{}`, "123456789012345678901234567890", "123456789012345678901234567890"},
		{"a fractional id", `"method":"a","id": -1.50E+2 `, "a", `{}`, "-1.50E+2", "-1.50E+2"},
		{"an escaped id", `"method":"a","id":"\u00e9\"<"`, "a", `{}`, `é"<`, `"\u00e9\"<"`},
		{"escaped names", `"\u006dethod":"\u0061","i\u0064":2,"metadata":{"correlation\u0049d":"c"}`, "a", `{}`, "c", "2"},
		{"correlationId", `"metadata":{"sessionId":"s","correlationId":"corr","timestamp":1},"method":"a","id":2`, "a", `{}`, "corr", "2"},
		{"a correlationId that is a number", `"metadata":{"correlationId":17},"method":"a","id":2`, "a", `{}`, "17", "2"},
		{"a correlationId that is null", `"metadata":{"correlationId":null},"method":"a","id":2`, "a", `{}`, "2", "2"},
		{"metadata that is null", `"metadata":null,"method":"a","id":2`, "a", `{}`, "2", "2"},
		{"unknown members", `"x":{"jsonrpc":"1.0","id":9},"ID":3,"method":"a","id":2`, "a", `{}`, "2", "2"},
		{"brackets in strings are no levels", `"method":"a","params":{"t":"` + strings.Repeat("[", 100) + `\"{"},"id":2`, "a", `{"t":"` + strings.Repeat("[", 100) + `\"{"}`, "2", "2"},
		{"64 levels", `"method":"a","params":{"t":` + deep + `},"id":2`, "a", `{"t":` + deep + `}`, "2", "2"},
		{"twice the same in params", `"method":"a","params":{"t":1,"t":2},"id":2`, "a", `{"t":1,"t":2}`, "2", "2"},
		{"a long id is cut for the cause alone", `"method":"a","id":"x` + long + `"`, "a", `{}`, "x" + strings.Repeat("é", 127), `"x` + long + `"`},
		{"an empty method is for the dispatcher to refuse", `"method":"","id":2`, "", `{}`, "2", "2"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			id, result, _, data := answered(t, h, `{"jsonrpc":"2.0",`+tc.members+`}`)
			if result != "1" || id != tc.id {
				t.Errorf("id %s, result %s (%s); want id %s", id, result, data, tc.id)
			}
			if got.Method != tc.method || string(got.Params) != tc.params || got.Cause != tc.cause {
				t.Errorf("got %q, %s, cause %q; want %q, %s, cause %q", got.Method, got.Params, got.Cause, tc.method, tc.params, tc.cause)
			}
		})
	}
}

// The method of repeated calls is not copied. That must not mix up methods.
func TestMethodsOfABatchStayApart(t *testing.T) {
	h := newHandler(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		return json.RawMessage(fmt.Sprintf(`[%q,%s]`, req.Method, req.Params)), nil
	})
	var body, want []string
	for i, m := range []string{"a", "a", "b", "bb", "b", "", "a", "a"} {
		body = append(body, fmt.Sprintf(` { "jsonrpc": "2.0", "params": { "n": %d }, "id": %d, "method": %q }`, i, i, m))
		want = append(want, fmt.Sprintf(`{"jsonrpc":"2.0","result":[%q,{"n":%d}],"id":%d}`, m, i, i))
	}
	if got, want := post(h, "["+strings.Join(body, " ,\n")+"]").Body.String(), "["+strings.Join(want, ",")+"]"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A method written like the previous one, but with an escape, is a different one.
func TestAnEscapedMethodIsNotTakenForTheOneBefore(t *testing.T) {
	h := newHandler(func(_ context.Context, req api.Request) (json.RawMessage, *api.Error) {
		name, _ := json.Marshal(req.Method) // encoding a string never fails
		return name, nil
	})
	got := post(h, `[{"jsonrpc":"2.0","method":"\\u0061","id":1},{"jsonrpc":"2.0","method":"\u0061","id":2}]`).Body.String()
	equalJSON(t, got, `[{"jsonrpc":"2.0","result":"\\u0061","id":1},{"jsonrpc":"2.0","result":"a","id":2}]`)
}
