#!/bin/sh
# Counts the words of a task's text. Make it a worker:
#
#	claudebench work -- examples/shell/words.sh
#
# What it prints becomes the task's result. An exit code other than 0 makes the task failed.
set -eu
words=$(printf '%s' "$CB_TASK_TEXT" | wc -w)
printf '{"words": %d}\n' "$words"
