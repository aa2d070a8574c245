#!/usr/bin/env bash
# Fuzzes every target of the packages named (all, if none is), each for FUZZ_TIME, and fails if one fails. `make fuzz` runs it.
# The targets are asked of the packages themselves, so that none is forgotten.
set -euo pipefail

each=${FUZZ_TIME:-10m}

# go test -list prints the targets of a package, then `ok PACKAGE TIME`.
listed=$(go test -list '^Fuzz' "${@:-./...}")
targets=$(awk '/^Fuzz/ { names[n++] = $1 } /^ok / { for (i = 0; i < n; i++) print $2, names[i]; n = 0 }' <<<"$listed")
if [[ -z $targets ]]; then
  echo "no fuzz targets in ${*:-./...}" >&2
  exit 1
fi
count=$(wc -l <<<"$targets")

log=$(mktemp)
trap 'rm -f "$log"' EXIT
failed=()
number=0
while read -r package target; do
  number=$((number + 1))
  echo "==> fuzz $number of $count: $target in $package, for $each"
  # Inputs that need Redis are minimized slowly, so not for long. Standard input is the list of targets.
  if ! go test -run '^$' -fuzz "^$target\$" -fuzztime "$each" -fuzzminimizetime 5s -timeout 0 "$package" </dev/null 2>&1 | tee "$log"; then
    # Go may take the end of the time for a failure (golang/go#75804): it says only this then, and has no input to show.
    if grep -qx '    context deadline exceeded' "$log" && ! grep -q 'Failing input written' "$log"; then
      echo "$target has found nothing: it ended with its time"
    else
      failed+=("$target in $package")
    fi
  fi
done <<<"$targets"

if ((${#failed[@]})); then
  printf 'failed: %s\n' "${failed[@]}" >&2
  echo 'The input is in testdata/fuzz of the package. Keep it with git add -f: make test then runs it.' >&2
  exit 1
fi
echo "all $count fuzz targets passed"
