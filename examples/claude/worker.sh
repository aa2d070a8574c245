#!/bin/sh
# Has Claude Code do a task: the task's text is the prompt, and Claude's answer the result. Make it
# a worker, in the folder in which Claude is to work:
#
#	claudebench work --timeout 30m -- /path/to/examples/claude/worker.sh
#
# Claude may do only what its settings in that folder allow.
exec claude -p "$CB_TASK_TEXT" --output-format json </dev/null
