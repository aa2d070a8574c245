#!/usr/bin/env bash
# Installs what the tests need beside Go and does not find: redis-server (or
# valkey-server), the PostgreSQL server's binaries, pgbouncer, a C compiler for the race
# detector, Node.js with npm for the conformance suite and the clients of MCP, and for
# Claude Code, and Chromium (or Chrome) for the dashboard. The tests start servers of their own on
# private ports, so nothing here is left running, and a service that already runs is left alone.
set -euo pipefail

has_redis() { command -v redis-server >/dev/null || command -v valkey-server >/dev/null; }

# initdb stands for the server's binaries: the client packages come without it.
has_postgres() {
  command -v initdb >/dev/null && return
  local dir
  for dir in /usr/lib/postgresql/*/bin /opt/homebrew/opt/postgresql@*/bin /usr/local/opt/postgresql@*/bin; do
    [ -x "$dir/initdb" ] && return
  done
  return 1
}

has_pgbouncer() {
  command -v pgbouncer >/dev/null || [ -x /usr/sbin/pgbouncer ] || [ -x /opt/homebrew/bin/pgbouncer ] || [ -x /usr/local/bin/pgbouncer ]
}

# The race detector is linked by cgo everywhere but on macOS.
has_cc() {
  [ "$(uname -s)" = Darwin ] && return
  local cc
  read -r cc _ < <(go env CC)
  command -v "$cc" >/dev/null
}

# npm installs the conformance suite and the clients, and with them the Node.js that runs them,
# and Claude Code, which brings its own.
has_node() {
  local version
  command -v npm >/dev/null && version=$(node --version 2>/dev/null) || return 1
  version=${version#v}
  [ "${version%%.*}" -ge 18 ]
}

# The places are those of internal/browsertest. On Ubuntu, chromium-browser only asks for a snap.
has_chromium() {
  local program
  for program in chromium google-chrome google-chrome-stable; do
    command -v "$program" >/dev/null && return
  done
  [ -x '/Applications/Chromium.app/Contents/MacOS/Chromium' ] || [ -x '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome' ]
}

missing() {
  has_redis || echo redis-server
  has_postgres || echo PostgreSQL
  has_cc || echo 'a C compiler'
  has_node || echo 'Node.js 18 or newer with npm (https://nodejs.org)'
  has_pgbouncer || echo pgbouncer
  has_chromium || echo 'Chromium or Google Chrome'
}

# Packages to install; $1 to $6 are what each of the six is called.
packages() {
  has_redis || echo "$1"
  has_postgres || echo "$2"
  has_cc || echo "$3"
  has_node || echo "$4"
  has_pgbouncer || echo "$5"
  has_chromium || echo "$6"
}

as_root() {
  if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo "$@"; fi
}

# Shows what a command printed only if it failed.
quietly() {
  local printed
  printed=$("$@" 2>&1) || {
    echo "$printed" >&2
    return 1
  }
}

# Debian's packages start their services when they are installed, unless this file says
# no. One that is there already is the administrator's word.
policy=/usr/sbin/policy-rc.d
forbid_services() {
  [ ! -e "$policy" ] || return 0
  trap 'as_root rm -f "$policy"' EXIT
  printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 755 "$policy"
}

with_apt() {
  local names
  names=$(packages redis-server postgresql 'gcc libc6-dev' 'nodejs npm' pgbouncer chromium | xargs)
  echo "installing by apt-get: $names"
  # shellcheck disable=SC2086 # several words on purpose
  forbid_services &&
    quietly as_root apt-get update &&
    quietly as_root env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends $names
}

with_brew() {
  local names
  names=$(packages redis postgresql@17 '' node pgbouncer chromium | xargs)
  echo "installing by brew: $names"
  # shellcheck disable=SC2086 # several words on purpose
  quietly brew install $names
}

[ -n "$(missing)" ] || exit 0
# A failure here shows below, with what is still missing.
if [ "$(id -u)" -ne 0 ] && ! command -v sudo >/dev/null && ! command -v brew >/dev/null; then
  echo 'neither root nor sudo: nothing can be installed from here' >&2
elif command -v apt-get >/dev/null; then
  with_apt || true
elif command -v brew >/dev/null; then
  with_brew || true
fi
still=$(missing | paste -sd, - | sed 's/,/, /g')
if [ -n "$still" ]; then
  echo "missing: $still. Install it with this system's package manager and run make again." >&2
  exit 1
fi
