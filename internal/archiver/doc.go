// Package archiver copies the event log into an archive while it is written. A coordinator with
// --archive-dir runs it, and `claudebench archive` runs it alone. One process at a time does, by the
// lease `archive`, and a log has one archive: the log's hash names it.
//
// While Redis is unavailable, the archiver waits. When a write fails, because the disk is full for
// example, it returns to what is on the disk, keeps the lease and tries again. It never continues by
// itself where the log and the archive contradict each other: when the log has lost its end, is
// another log, or lacks events that the archive should have. It then reports that until an operator
// decides. Commands never wait for the archiver, except for a flush, which waits a moment so that
// nothing is deleted before it is archived.
package archiver
