// Package timetravel tells what was: the state of the fleet at a moment, the difference of two moments,
// and the history of a task or an instance. The commands `state`, `diff` and `history` call it, and the
// coordinator for system.get_state with at and for audit.diff. It reads the log and, for a history, the
// index of events if the caller passes it, and writes nothing. State and difference are those of the
// fold (package fold); a history holds as many events in memory as the caller asks for.
//
// If Redis, Postgres or the coordinator cannot be read, its functions return the error, and nothing of
// the story.
package timetravel
