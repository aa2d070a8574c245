// Package claudehook reads the hooks that Claude Code sends: which event of the log a hook becomes,
// how much of its content may be stored, and what it says about the todos of its session.
// commands/hook records the hooks with it, and internal/hooks receives them.
//
// The members of the hooks are those of Claude Code's hooks reference
// (https://code.claude.com/docs/en/hooks). Nothing in a hook is trusted: a member of another type
// than expected counts as absent, and a hook of an unknown name is a hook all the same. The package
// depends on nothing that can fail.
package claudehook
