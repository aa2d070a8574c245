// A worker: it registers, claims tasks, does them, and reports the results. Its work is to count the
// words of a task's text.
//
//	node dist/worker.js worker-1
//
// CB_URL is the URL of the coordinator, and CB_TOKEN the token if it needs one.
import { hostname } from "node:os";
import type { Task } from "./api.js";
import { Client, ConnectionError, RpcError, sleep } from "./client.js";

/** Does a task and returns its result. The signal is aborted when the task is no longer the worker's. */
export type Handler = (task: Task, signal: AbortSignal) => Promise<unknown>;

/** How long the instance lives without a sign of life, and how long a claim waits for a task. */
const ttlMs = 30_000;
const waitMs = 30_000;

/** Claims tasks one by one and does them, until the signal is aborted. */
export async function work(url: string, id: string, handle: Handler, signal: AbortSignal, token?: string): Promise<void> {
  const claims = new Client(url, { token, signal }); // ends with the signal
  const client = new Client(url, { token, patienceMs: 300_000 }); // a result is reported for so long
  const sessionId = crypto.randomUUID();
  const register = () => client.systemRegister({ id, roles: ["worker"], metadata: { sessionId, maxTasks: 1 }, ttlMs });
  await register();

  let running: { task: Task; lost: AbortController } | undefined;
  const heartbeat = async () => {
    const held = running;
    const { alive } = await client.systemHeartbeat({ instanceId: id });
    if (!alive) await register();
    if (!held) return;
    const now = await client.taskGet({ id: held.task.id }).catch((error: unknown) => {
      if (error instanceof RpcError && error.isNotFound) return undefined;
      throw error;
    });
    if (now?.attempt !== held.task.attempt || now.status !== "in_progress" || now.assignedTo !== id) held.lost.abort();
  };
  const beats = setInterval(() => void heartbeat().catch((error: unknown) => console.error(String(error))), ttlMs / 3);

  // The answer to a claim may be lost. Repeated with its key, the claim returns the same task.
  for (let idempotencyKey = crypto.randomUUID(); !signal.aborted; ) {
    try {
      const { task } = await claims.taskClaim({ workerId: id, waitMs, idempotencyKey });
      idempotencyKey = crypto.randomUUID();
      if (!task) continue;
      running = { task, lost: new AbortController() };
      await report(client, id, task, running.lost.signal, handle);
      running = undefined;
    } catch (error) {
      running = undefined;
      if (signal.aborted) break;
      if (error instanceof RpcError && error.isNotRegistered) await register();
      else if (error instanceof ConnectionError || (error instanceof RpcError && error.code === -32603)) await sleep(1000, signal);
      else throw error;
    }
  }
  clearInterval(beats);
  await client.systemUnregister({ instanceId: id, sessionId }); // gives back what is not done
}

/** Does a task and completes it with the attempt of its claim, so that a worker that lost it cannot. */
async function report(client: Client, workerId: string, task: Task, lost: AbortSignal, handle: Handler): Promise<void> {
  const outcome = await handle(task, lost).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: String(error) }),
  );
  if (lost.aborted) return;
  const idempotencyKey = `${task.id} attempt ${task.attempt}`;
  try {
    await client.taskComplete({ id: task.id, workerId, attempt: task.attempt, ...outcome, idempotencyKey });
    console.log(`${task.id}: ${JSON.stringify(outcome)}`);
  } catch (error) {
    if (!(error instanceof RpcError && error.isLeaseLost)) throw error;
    console.error(`${task.id} is no longer this worker's: ${error.message}`);
  }
}

if (process.argv[1]?.endsWith("worker.js")) {
  const stop = new AbortController();
  process.once("SIGINT", () => stop.abort()).once("SIGTERM", () => stop.abort());
  const id = process.argv[2] ?? `${hostname()}-${process.pid}`;
  const words: Handler = async (task) => ({ words: task.text.split(/\s+/).filter(Boolean).length });
  await work(process.env["CB_URL"] ?? "http://127.0.0.1:3000", id, words, stop.signal, process.env["CB_TOKEN"]);
}
