// Package seal seals the log: it appends a leaf for each event to a Merkle tree in a folder, signs
// checkpoints of the tree and publishes them. internal/server runs a Sealer beside the commands, and
// `claudebench seal` runs one alone. No command waits for a sealer.
//
// # What decides
//
// A key signs one tree only. Before a checkpoint is published, record_seal writes it to Redis in one
// script, which compares the lease, the last checkpoint and the log. The order is: tiles, record,
// checkpoint. So the record is never behind the published checkpoint, and the tiles are never behind
// the record; after a kill at any point, the next start continues from there. The lease and the
// lock on the folder only avoid duplicate work.
//
// # Failures
//
// While the disk is full, or Redis is away, the sealer tries again each second and skips nothing. A
// folder that was restored from a backup, or that belongs to another log or key, is refused with a
// *RefusedError, because going on would sign a second tree. If the log lost events that are sealed,
// sealing stops: the reason is in Redis, every coordinator shows it, and only a new tree with a new
// key goes on (GiveUp).
package seal
