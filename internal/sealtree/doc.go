// Package sealtree holds the seals of a log: an RFC 6962 Merkle tree over its events, with signed
// checkpoints. The formats are those of C2SP, so that any client of them can read a folder of seals:
// tlog-tiles for the folder, tlog-checkpoint and signed-note for checkpoints, tlog-proof for proofs.
//
// The leaf of an event is its entry ID, a line feed, and the 32 bytes of the SHA-256 of the envelope
// as it is stored. The leaf with index i is that of the event with seq first+i, where first is the
// seq in leaf 0.
//
// The package knows nothing of Redis: internal/seal decides what is sealed and when. Its errors are
// those of the folder or of HTTP, and a file that is missing or that does not fit the signed root is
// a *DamagedError.
package sealtree
