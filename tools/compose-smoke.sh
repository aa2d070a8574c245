#!/usr/bin/env bash
# Brings the compose project up under a name of its own, waits until every service is
# healthy, makes one call, and takes it down with its volumes. Needs Docker, and the
# ports of docker-compose.yml free.
set -euo pipefail

compose=(docker compose -p claudebench-smoke)
down() { "${compose[@]}" down --volumes --remove-orphans; }
trap down EXIT

if ! "${compose[@]}" up --build --wait --wait-timeout 180; then
  "${compose[@]}" logs --no-color >&2
  exit 1
fi
"${compose[@]}" exec -T coordinator /claudebench call --url http://127.0.0.1:3000 system.register '{"id":"smoke","roles":[]}'
