#!/usr/bin/env bash
# Runs govulncheck over every package, tests included. Findings fail, and so does any
# error but one: without a way to the vulnerability database nothing can be said, so it
# says that and goes on, unless the first argument is "required".
set -euo pipefail

database=${1:-optional}
report=$(mktemp)
trap 'rm -f "$report"' EXIT

status=0
go tool -modfile=tools/go.mod govulncheck -test ./... >"$report" 2>&1 || status=$?

# govulncheck exits with 3 for findings and with 1 for every error; the two lines below
# are what its client says when the request failed, or was answered by somebody else.
unreachable='^govulncheck: fetching vulnerabilities: (Get "https?://|HTTP GET https?://[^ ]* returned unexpected status)'
if [ "$status" -eq 1 ] && grep -qE "$unreachable" "$report"; then
  if [ "$database" != required ]; then
    echo "not checked: the vulnerability database is unreachable ($(grep -oE 'https?://[^/"]+' "$report" | head -n 1))"
    exit 0
  fi
fi
cat "$report"
exit "$status"
