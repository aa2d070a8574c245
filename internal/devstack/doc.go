// Package devstack runs private servers on this machine: Redis (or Valkey) and Postgres as child
// processes, and as a last resort a Redis inside this process.
//
// `claudebench up` uses it, and tests use it through internal/testenv. `claudebench serve` gets the
// URLs of its servers and does not use it.
//
// A server listens only on 127.0.0.1 and requires a generated password, which is stored in its
// folder with mode 0600. Its data is in that folder too, so a Start after a Stop, or after a
// SIGKILL, finds it again. The server runs in its own process group, so that Ctrl-C in a terminal
// reaches only this process, which ends its children in order. If this process dies without doing
// so, two mechanisms end them: on Linux the kernel's parent-death signal, and on all systems a
// small shell that waits for the end of a pipe that only this process holds open.
//
// The functions return [ErrNotInstalled] if a binary is missing, a [*StartError] with the end of
// the log if a server does not start, an [*InUseError] if a folder belongs to another process, and
// a [*VersionError] if no binary matches the version of the Postgres data. A server that exits
// later closes its Done channel. The package does not restart it.
//
// The package needs flock and signals. It works on Linux, macOS and the BSDs, not on Windows.
package devstack
