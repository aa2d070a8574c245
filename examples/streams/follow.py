"""Follow the events of a coordinator with nothing but Python's standard library.

    CB_URL=http://127.0.0.1:3000 python3 follow.py 'task.*' position.txt

Prints one line for each event. The file keeps the position: after a restart, the program goes on
where it stopped. CB_TOKEN is the token, if the coordinator needs one.
"""

import json
import os
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

URL = os.environ.get("CB_URL", "http://127.0.0.1:3000")
TYPES = sys.argv[1] if len(sys.argv) > 1 else "*"
FILE = sys.argv[2] if len(sys.argv) > 2 else "position.txt"


def load():
    """The ID of the last event that was handled; 0 is the beginning of the log."""
    try:
        with open(FILE, encoding="utf-8") as f:
            return f.read().strip() or "0"
    except FileNotFoundError:
        return "0"


def save(position):
    with open(FILE + ".new", "w", encoding="utf-8") as f:
        f.write(position)
    os.replace(FILE + ".new", FILE)  # a crash leaves the old position or the new one


def blocks(stream):
    """Each block of a stream of server-sent events, as a dict of its fields."""
    block = {}
    for line in stream:
        name, _, value = line.decode("utf-8").rstrip("\r\n").partition(":")
        if name:
            block[name] = value.removeprefix(" ")
        elif line.strip() == b"" and block:
            yield block
            block = {}


def handle(kind, data):
    if kind == "gap":
        print(f"events {data['from']} to {data['to']} are gone: {data['reason']}", flush=True)
    elif kind != "end":
        print(data["id"], kind, json.dumps(data["payload"]), flush=True)


while True:
    request = urllib.request.Request(URL + "/events?types=" + urllib.parse.quote(TYPES), headers={"Last-Event-ID": load()})
    if os.environ.get("CB_TOKEN"):
        request.add_header("Authorization", "Bearer " + os.environ["CB_TOKEN"])
    try:
        # The coordinator sends a heartbeat each 15 seconds.
        with urllib.request.urlopen(request, timeout=45) as response:
            for block in blocks(response):
                if "data" in block:
                    handle(block["event"], json.loads(block["data"]))
                if "id" in block:
                    save(block["id"])
    except urllib.error.HTTPError as e:
        if e.code < 500 and e.code != 429:  # the token or the types: trying again does not help
            sys.exit(f"{e}: {e.read().decode()}")
    except (OSError, ValueError) as e:
        print(f"{e}; trying again", file=sys.stderr)
    time.sleep(1)
