// Follow the events of a coordinator with nothing but Node (18 or newer).
//
//     CB_URL=http://127.0.0.1:3000 node follow.mjs 'task.*' position.txt
//
// Prints one line for each event. The file keeps the position: after a restart, the program goes on
// where it stopped. CB_TOKEN is the token, if the coordinator needs one.

import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";

const { CB_URL = "http://127.0.0.1:3000", CB_TOKEN } = process.env;
const [types = "*", file = "position.txt"] = process.argv.slice(2);

/** The ID of the last event that was handled; 0 is the beginning of the log. */
function load() {
  try {
    return readFileSync(file, "utf8").trim() || "0";
  } catch (error) {
    if (error.code !== "ENOENT") throw error;
    return "0";
  }
}

function save(position) {
  writeFileSync(file + ".new", position);
  renameSync(file + ".new", file); // a crash leaves the old position or the new one
}

/** Each block of a stream of server-sent events, as an object of its fields. */
async function* blocks(body) {
  let rest = "";
  for await (const text of body.pipeThrough(new TextDecoderStream())) {
    const parts = (rest + text).split("\n\n");
    rest = parts.pop();
    for (const part of parts) {
      yield Object.fromEntries(part.split("\n").map((line) => line.split(/: ?(.*)/s, 2)));
    }
  }
}

function handle(kind, data) {
  if (kind === "gap") console.log(`events ${data.from} to ${data.to} are gone: ${data.reason}`);
  else if (kind !== "end") console.log(data.id, kind, JSON.stringify(data.payload));
}

/** Ends a request after 45 seconds without a byte; the coordinator sends a heartbeat each 15 seconds. */
async function* watched(body, controller) {
  let timer;
  const restart = () => (clearTimeout(timer), (timer = setTimeout(() => controller.abort(), 45_000)));
  restart();
  for await (const block of blocks(body)) restart(), yield block;
  clearTimeout(timer);
}

for (;;) {
  const controller = new AbortController();
  const headers = { "Last-Event-ID": load(), ...(CB_TOKEN && { Authorization: `Bearer ${CB_TOKEN}` }) };
  try {
    const answer = await fetch(`${CB_URL}/events?types=${encodeURIComponent(types)}`, { headers, signal: controller.signal });
    if (answer.status < 500 && answer.status !== 200 && answer.status !== 429) {
      console.error(answer.status, await answer.text()); // the token or the types: trying again does not help
      process.exit(1);
    }
    for await (const block of watched(answer.body, controller)) {
      if (block.data) handle(block.event, JSON.parse(block.data));
      if (block.id) save(block.id);
    }
  } catch (error) {
    console.error(`${error.message}; trying again`);
  }
  await sleep(1000);
}
