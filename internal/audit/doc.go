// Package audit checks a namespace. Replay prints its log. Verify proves that the log is complete
// and valid and that all stored data equals the fold of the log, or lists the violations. The
// commands `replay` and `verify` call it. Nothing here writes.
//
// Verify does not stop the namespace. It folds the log in memory and reads the stored objects in
// lots of up to a hundred. One script reads a lot and also returns the seq of the log's last event,
// so that a lot is consistent with one position of the log. The fold advances to exactly that
// event, then the lot is compared. The seq never decreases from one lot to the next. The
// projections store the seq of the last event they applied and are compared at that position. A
// flush that removes the compared data cannot be prevented: Verify waits for its end, or notices it
// and starts again.
//
// No command scans the keys of Redis. Verify does (SCAN, in a script that also returns the
// position), because nothing else finds a task's hash that no index contains, and an auditor can
// wait.
//
// If Redis or Postgres cannot be reached, Verify returns an error, which proves nothing either way.
package audit
