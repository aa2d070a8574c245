// Package archive reads and writes an archive of the event log: a folder with the log's events as
// JSON Lines in files compressed with zstd, and a manifest. docs/archive.md describes the format,
// so that other programs can read it too.
//
// [Open] returns an [Archive], which gives an [events.Reader] the beginning of a log that Redis no
// longer has. It needs no Redis and changes nothing. [OpenWriter] returns the one [Writer] of a
// folder; the program's archiver is its caller.
//
// A Writer has two promises. [Writer.Commit] returns after the events are on the disk. A segment
// that the manifest lists never changes again. If the process ends at any moment, OpenWriter
// removes what was not committed. If a write fails, because the disk is full for example, the
// Writer refuses everything until [Writer.Reset] has returned to the last commit.
package archive
