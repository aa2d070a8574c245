#!/usr/bin/env bash
# Fails, and prints the difference, if `go mod tidy` would change a module of this tree.
set -euo pipefail

status=0
while IFS= read -r file; do
  dir=$(dirname "$file")
  if ! (cd "$dir" && go mod tidy -diff); then
    echo "$file is not tidy: run go mod tidy in $dir" >&2
    status=1
  fi
done < <(find . -name .git -prune -o -name go.mod -print | sort)
exit "$status"
