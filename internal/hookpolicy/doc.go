// Package hookpolicy decides about uses of tools by the rules of a YAML file, for agents that ask
// before each use, as Claude Code does with the hook PreToolUse. internal/server reads the file and
// answers the hooks, and 'claudebench policy test' shows what it would answer.
//
// The first rule that matches decides. If none matches, the policy has no opinion, and the agent's
// own permissions decide. A policy is a guard against accidents, not a sandbox: a shell can write
// the same command in more ways than an expression can match.
//
// The package depends only on the file. At startup, a file that is unreadable or invalid is an
// error. At a reload, the current rules stay in force and the log says why.
//
// The time of a decision is bounded. Expressions are RE2, which need time linear in the text, and
// what all rules together may need for an input is limited. A rule beyond the limit is not skipped,
// because a long input would then evade it: the decision is to ask the user.
package hookpolicy
