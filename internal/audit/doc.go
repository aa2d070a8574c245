// Package audit is what auditors run on a namespace: Replay prints its log, Verify proves that the
// log is whole and lawful and that everything kept beside it equals the log's fold, or names what
// breaks. The commands `replay` and `verify` call it; nothing here writes anything.
//
// Verify does not stop the namespace. It folds the log in memory and reads the stored objects in
// lots, each by a script that also tells the seq of the log's last event, so that a lot is one
// moment of the log. The fold is brought to exactly that event, then the lot is compared. Lots come
// with rising seq. The projections carry the seq of the last event they applied; they are compared
// at that. A flush that removes what is compared cannot be kept out: it is waited for, or noticed,
// and then all begins again.
//
// No command looks through the keys of Redis; Verify does (SCAN, in a script that also tells the
// moment): a task's hash that no index leads to can be found in no other way, and an auditor can
// wait.
//
// Redis or Postgres that cannot be reached is an error, and proves nothing either way.
package audit
