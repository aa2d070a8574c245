// Package rpc is the coordinator's JSON-RPC 2.0 over HTTP (https://www.jsonrpc.org/specification):
// it reads requests, notifications and batches, hands each call to a Dispatcher, and writes the
// answers. Its caller is internal/server, which puts NewHandler on /rpc and /rpc/batch. Bodies are
// read and calls are run by internal/httpapi.
//
// It has no dependency that can fail but the Dispatcher. An error of the type *commands.Error is
// answered as it is; any other error, and a panic, is logged and answered "Internal error" with
// nothing of the inside, for that one call: the other calls of its batch are not touched.
//
// What the specification leaves open is decided so:
//
//   - params are named. An array is answered -32602, or -32601 where Options.Known says that there is no such method.
//     Absent params are {}, and so are null and an empty array, which many clients send where a method needs none.
//   - An Invalid Request is always answered, with its id where it has one that can be read, else with null.
//   - A member of a request that occurs twice (method, id, …) makes it an Invalid Request, since two readers of it
//     could see two different calls. Members that the specification does not know are ignored. Members of params
//     are not looked at: what occurs twice in there is handed on as it came.
//   - Params reach the Dispatcher without the white space between tokens, and otherwise byte for byte, so that they
//     can be put into a line of the log as they are.
//   - A request's cause is metadata.correlationId, a string or a number of up to 256 bytes, else its id. An id may
//     be longer than that: the cause is then its beginning, so that a long id does not fill the log.
//
// The body is read once: one scan checks the syntax, the depth and the limits, finds the members of
// each request, and closes the gaps where white space was. Everything handed on points into that
// one buffer, which is never used again for another request, so a Dispatcher may keep its params.
package rpc
