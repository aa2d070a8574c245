// Package process runs one command for one piece of work: it feeds the command's standard input,
// keeps a bounded part of its output, stops it when its context ends, and leaves nothing of it
// behind. `claudebench work` runs the commands of its tasks with it.
//
// A command runs in its own process group. So Ctrl-C in a terminal reaches only this process, and
// a signal to the command reaches the processes that it has started too, unless they have left the
// group (setsid). When the command has exited, whatever is left of its group is killed. For each
// group there is a process that has ended, which ps shows as defunct: it holds the group's ID.
//
// If this process dies, even by SIGKILL, two mechanisms kill the commands: on Linux the kernel's
// parent-death signal, which reaches the command itself, and on all systems a small shell, which
// waits for the end of a pipe that only this process holds open, and then kills the process groups.
//
// The memory for a command does not depend on how much it prints. A command that cannot be started
// is a [StartError]. The package needs signals, process groups and /bin/sh. It works on Linux, macOS
// and the BSDs, not on Windows.
package process
