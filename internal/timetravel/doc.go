// Package timetravel tells what was: the history of a task or an instance. The command `history`
// calls it. It reads the log and, if the caller passes it, the index of events, and writes nothing.
// It holds as many events in memory as the caller asks for.
//
// If Redis, Postgres or the coordinator cannot be read, its functions return the error, and nothing of
// the story.
package timetravel
