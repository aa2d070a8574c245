// Follow the log in Redis itself, with ioredis.
//
//     npm install
//     CB_REDIS_URL=redis://127.0.0.1:6379 node follow-redis.mjs 'task.' my-service
//
// Prints one line for each event whose type begins with the first argument. The position is kept in
// Redis, at my-service:position. CB_NAMESPACE is the coordinator's namespace, if it has one.

import Redis from "ioredis";

const { CB_REDIS_URL = "redis://127.0.0.1:6379", CB_NAMESPACE } = process.env;
const [prefix = "", name = "my-service"] = process.argv.slice(2);
const root = CB_NAMESPACE ? `cb:{${CB_NAMESPACE}}` : "cb";
const log = `${root}:stream:events`;
const redis = new Redis(CB_REDIS_URL); // it connects again by itself
redis.on("error", (error) => console.error(`${error.message}; trying again`));

const seqOf = (id) => BigInt(id.split("-")[1]);
let position = (await redis.get(`${name}:position`)) ?? "0-0";

for (;;) {
  const read = await redis.xread("COUNT", 1000, "BLOCK", 1000, "STREAMS", log, position);
  for (const [id, [, text]] of read?.[0]?.[1] ?? []) {
    // seq rises by exactly one with each event, so a missing one is seen. Events below base were
    // flushed or trimmed; any other gap is a fault of the log.
    const expected = seqOf(position) + 1n;
    if (seqOf(id) > expected) {
      const base = BigInt((await redis.hget(`${root}:log`, "base")) ?? 0);
      const why = seqOf(id) <= base ? "flushed or trimmed" : "missing, run claudebench verify";
      console.log(`events ${expected} to ${seqOf(id) - 1n} are gone: ${why}`);
    }
    const event = JSON.parse(text);
    if (event.type.startsWith(prefix)) console.log(id, event.type, JSON.stringify(event.payload));
    position = id;
  }
  if (read) await redis.set(`${name}:position`, position);
}
