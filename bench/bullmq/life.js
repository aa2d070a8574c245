// Adds jobs to BullMQ, works them, and prints how long that took.
//
//   node life.js REDIS_PORT REDIS_PASSWORD JOBS bulk|single TEXT
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const [port, password, jobs, mode, text] = process.argv.slice(2);
const n = Number(jobs);
const connection = new Redis({ host: "127.0.0.1", port: Number(port), password, maxRetriesPerRequest: null });
const bulk = 1000; // jobs in an addBulk
const adders = 32; // concurrent calls of add
const concurrency = mode === "bulk" ? 100 : 32;

const queue = new Queue("life", { connection, defaultJobOptions: { removeOnComplete: true } });
await queue.waitUntilReady();
const start = process.hrtime.bigint();
if (mode === "bulk") {
  for (let left = n; left > 0; left -= bulk) {
    await queue.addBulk(Array.from({ length: Math.min(left, bulk) }, () => ({ name: "task", data: { text } })));
  }
} else {
  let left = n;
  await Promise.all(
    Array.from({ length: adders }, async () => {
      while (left-- > 0) await queue.add("task", { text });
    }),
  );
}
let done = 0;
await new Promise((resolve, reject) => {
  const worker = new Worker("life", async () => {}, { connection, concurrency });
  worker.on("completed", () => {
    if (++done === n) resolve(worker);
  });
  worker.on("failed", (_, err) => reject(err));
  worker.on("error", reject);
}).then(async (worker) => {
  const seconds = Number(process.hrtime.bigint() - start) / 1e9;
  console.log(JSON.stringify({ seconds, done }));
  await worker.close();
});
await queue.close();
connection.disconnect();
