// Package claudecode writes what a project of Claude Code needs to use a coordinator: the MCP server
// in .mcp.json and the hooks in .claude/settings.json. 'claudebench init claude-code' uses it. It
// needs no coordinator and no network.
//
// The files belong to the user. An edit keeps everything else in them byte for byte, is the same
// however often it is made, and leaves a copy of the file as it was. If anything is wrong with one
// of the files, none is changed.
package claudecode
