// Package devstack runs private servers on this machine: Redis (or Valkey) and Postgres as child
// processes, and a Redis inside this process as the last resort.
//
// It is called by `claudebench up`, and by the tests through internal/testenv. A coordinator
// started with `claudebench serve` is given its servers by URL and does not come here.
//
// A server listens on 127.0.0.1 only, asks for a generated password that is kept in its folder with
// mode 0600, and keeps its data in that folder, so that a Start after a Stop, or after a SIGKILL,
// finds what was there. It runs in a process group of its own, so that Ctrl-C in a terminal reaches
// only us and we end our children in order. When we die without having ended them, two things do it
// for us: on Linux the kernel's parent-death signal, and everywhere a small shell that waits for
// the end of a pipe which only we hold open.
//
// When a binary is missing, the functions answer [ErrNotInstalled]; when a server does not come up,
// a [*StartError] with the end of its log; when a folder belongs to another process, an
// [*InUseError]; when Postgres is not the version that wrote the data, a
// [*VersionError]. A server that exits later closes its Done channel; nothing here
// starts it again by itself.
//
// The package needs flock and signals: Linux, macOS and the BSDs, not Windows.
package devstack
