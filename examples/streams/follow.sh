#!/bin/sh
# Follow the events of a coordinator with curl. Prints the JSON of each event.
#
#     CB_URL=http://127.0.0.1:3000 sh follow.sh 'task.*' position.txt
#
# The file keeps the position: after a restart, the script goes on where it stopped. CB_TOKEN is the
# token, if the coordinator needs one.
set -eu
url=${CB_URL:-http://127.0.0.1:3000}
types=${1:-*}
file=${2:-position.txt}

# The token is passed in a file, because other users can read a program's arguments.
headers=$(mktemp)
trap 'rm -f "$headers"' EXIT
trap 'exit 130' INT TERM
if [ -n "${CB_TOKEN:-}" ]; then
    printf 'Authorization: Bearer %s\n' "$CB_TOKEN" >"$headers"
fi

while :; do
    position=$(cat "$file" 2>/dev/null || echo 0)
    # The coordinator sends a heartbeat each 15 seconds, so a silent stream is a broken one.
    curl -sS -N -G --fail-with-body --speed-limit 1 --speed-time 45 "$url/events" \
        --data-urlencode "types=$types" -H "Last-Event-ID: $position" -H "@$headers" |
        while IFS= read -r line; do
            case $line in
            'id: '*) next=${line#id: } ;;
            'event: '*) event=${line#event: } ;;
            'data: '*) [ "${event:-}" = end ] || printf '%s\n' "${line#data: }" ;;
            '') # a block ends
                if [ -n "${next:-}" ]; then
                    printf '%s\n' "$next" >"$file.new" && mv "$file.new" "$file"
                fi
                next= event= ;;
            '{'*) printf '%s\n' "$line" >&2 ;; # not a stream: what the coordinator says is wrong
            esac
        done
    sleep 1
done
