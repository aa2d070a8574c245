// Package rpc implements JSON-RPC 2.0 over HTTP (https://www.jsonrpc.org/specification). It parses
// requests, notifications and batches, passes each call to a Dispatcher, and writes the responses.
// internal/server serves NewHandler at /rpc and /rpc/batch. internal/httpapi reads the bodies and
// runs the calls.
//
// Only the Dispatcher can fail. Its *api.Error is returned to the caller unchanged. A panic is
// logged, and the caller of that one call gets "Internal error" without internal details. The other
// calls of its batch are not affected.
//
// Where the specification leaves a choice:
//
//   - Params are named. An array gets -32602, or -32601 if Options.Known reports that the method
//     does not exist. Absent params mean {}, and so do null and an empty array, which many clients
//     send to methods without params.
//   - An Invalid Request always gets a response, with its id if that can be read, else with null.
//   - A member of a request that occurs twice (method, id, …) makes it an Invalid Request, because
//     two readers could see two different calls. Members that the specification does not define are
//     ignored. Members of params are not checked: duplicates there are passed on.
//   - Params reach the Dispatcher byte for byte, except that the white space between tokens is
//     removed so that they fit into one line of a log.
//   - The cause of a request is metadata.correlationId, a string or a number of up to 256 bytes,
//     else its id. If the id is longer than that, the cause is its beginning, so that long ids do
//     not fill the log.
//
// The body is read once. A single scan checks the syntax, the depth and the limits, finds the
// members of each request, and removes white space. All values that are passed on are slices of
// that one buffer. It is never reused for another request, so a Dispatcher may keep its params.
package rpc
