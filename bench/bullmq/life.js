// Runs the lives of BullMQ's jobs for the benchmark. One process serves all rounds.
//
//   node life.js REDIS_PORT REDIS_PASSWORD TEXT
//
// Each line on stdin is an order, and each line on stdout is the reply to one, both in JSON:
//
//   {"do":"open","mode":"bulk"}   connect a queue and an idle worker; mode is bulk or single
//   {"do":"live","jobs":20000}    add the jobs and work them; the reply has "done"
//   {"do":"close"}                close the worker and the queue
import { createInterface } from "node:readline";
import { Queue, Worker } from "bullmq";
import { Redis } from "ioredis";

const [port, password, text] = process.argv.slice(2);
const modes = {
  bulk: { callers: 4, lot: 100, concurrency: 100 }, // lot: jobs in an addBulk
  single: { callers: 32, lot: 1, concurrency: 32 },
};
const connection = new Redis({ host: "127.0.0.1", port: Number(port), password, maxRetriesPerRequest: null });
let mode, queue, worker;

async function open(name) {
  mode = modes[name];
  queue = new Queue(name, { connection, defaultJobOptions: { removeOnComplete: true } });
  worker = new Worker(name, async () => {}, { connection, concurrency: mode.concurrency, autorun: false });
  await Promise.all([queue.waitUntilReady(), worker.waitUntilReady()]);
  return {};
}

async function live(jobs) {
  let left = jobs;
  const add = async () => {
    while (left > 0) {
      const lot = Math.min(left, mode.lot);
      left -= lot;
      if (mode.lot === 1) await queue.add("task", { text });
      else await queue.addBulk(Array.from({ length: lot }, () => ({ name: "task", data: { text } })));
    }
  };
  await Promise.all(Array.from({ length: mode.callers }, add));
  let done = 0;
  await new Promise((resolve, reject) => {
    worker.on("completed", () => {
      if (++done === jobs) resolve();
    });
    worker.on("failed", (_, err) => reject(err));
    worker.on("error", reject);
    worker.run().catch(reject);
  });
  return { done };
}

async function close() {
  await worker.close();
  await queue.close();
  return {};
}

for await (const line of createInterface({ input: process.stdin })) {
  const order = JSON.parse(line);
  const reply = await { open: () => open(order.mode), live: () => live(order.jobs), close }[order.do]();
  process.stdout.write(JSON.stringify(reply) + "\n");
}
connection.disconnect();
