// A worker: it registers, claims tasks, does them, and reports the results. Its work is to count the
// words of a task's text. A number after its id is how many milliseconds each task takes at least;
// meanwhile the worker says how far it is.
//
//	node dist/worker.js worker-1 5000
//
// CB_URL is the URL of the coordinator, and CB_TOKEN the token if it needs one.
import { hostname } from "node:os";
import type { Task, TaskProgressParams } from "./api.js";
import { Client, ConnectionError, RpcError, sleep } from "./client.js";

/**
 * Does a task and returns its result. The signal is aborted when the task is no longer the worker's, and
 * with the reason Cancelled when the task was called off. If the handler then throws or returns nothing,
 * the task is cancelled.
 */
export type Handler = (task: Task, signal: AbortSignal, progress: Progress) => Promise<unknown>;

/**
 * Says how far the task is, which also begins its time limit anew. It throws the signal's reason once the
 * signal is aborted. That the coordinator is away is no error.
 */
export type Progress = (said: Pick<TaskProgressParams, "percent" | "message" | "data">) => Promise<void>;

/** The reason of the signal of a task that was called off. */
export class Cancelled extends Error {
  override name = "Cancelled";
}

/** A task that the worker does. */
interface Held {
  task: Task;
  end: AbortController;
}

/** How long the instance lives without a sign of life, and how long a claim waits for a task. */
const ttlMs = 30_000;
const waitMs = 30_000;

/** Claims tasks one by one and does them, until the signal is aborted. */
export async function work(url: string, id: string, handle: Handler, signal: AbortSignal, token?: string): Promise<void> {
  const claims = new Client(url, { token, signal }); // ends with the signal
  const client = new Client(url, { token, patienceMs: 300_000 }); // a result is reported for so long
  const hints = new Client(url, { token, patienceMs: 0 }); // progress is not repeated
  const sessionId = crypto.randomUUID();
  const register = () => client.systemRegister({ id, roles: ["worker"], metadata: { sessionId, maxTasks: 1 }, ttlMs });
  await register();

  let running: Held | undefined;
  const heartbeat = async () => {
    const held = running;
    const { alive, cancel } = await client.systemHeartbeat({ instanceId: id });
    if (!alive) await register();
    if (!held) return;
    if (cancel?.includes(held.task.id)) held.end.abort(new Cancelled());
    const now = await client.taskGet({ id: held.task.id }).catch((error: unknown) => {
      if (error instanceof RpcError && error.isNotFound) return undefined;
      throw error;
    });
    if (now?.attempt !== held.task.attempt || now.status !== "in_progress" || now.assignedTo !== id) held.end.abort();
  };
  const beats = setInterval(() => void heartbeat().catch((error: unknown) => console.error(String(error))), ttlMs / 3);

  // The answer to a claim may be lost. Repeated with its key, the claim returns the same task.
  for (let idempotencyKey = crypto.randomUUID(); !signal.aborted; ) {
    try {
      const { task } = await claims.taskClaim({ workerId: id, waitMs, idempotencyKey });
      idempotencyKey = crypto.randomUUID();
      if (!task) continue;
      running = { task, end: new AbortController() };
      await report(client, id, running, (held) => handle(task, held.end.signal, progressOf(hints, id, held)));
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

/** Returns the function by which the handler of a task says how far it is. */
function progressOf(client: Client, workerId: string, { task, end }: Held): Progress {
  return async (said) => {
    end.signal.throwIfAborted();
    try {
      const { cancelRequested } = await client.taskProgress({ ...said, id: task.id, workerId, attempt: task.attempt });
      if (cancelRequested) end.abort(new Cancelled());
    } catch (error) {
      if (error instanceof RpcError && error.isLeaseLost) end.abort();
      else if (error instanceof RpcError && error.isInvalidParams) throw error;
      else console.error(`the progress of ${task.id} is not known: ${String(error)}`);
    }
    end.signal.throwIfAborted();
  };
}

/** Does a task and completes it with the attempt of its claim, so that a worker that lost it cannot. */
async function report(client: Client, workerId: string, held: Held, handle: (held: Held) => Promise<unknown>): Promise<void> {
  const { task, end } = held;
  let outcome: { result?: unknown; error?: string; cancelled?: boolean } = await handle(held).then(
    (result) => ({ result }),
    (error: unknown) => ({ error: String(error) }),
  );
  if (end.signal.reason instanceof Cancelled) {
    if (outcome.result === undefined) outcome = { cancelled: true };
  } else if (end.signal.aborted) return;
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
  const atLeast = Number(process.argv[3] ?? 0);
  const words: Handler = async (task, signal, progress) => {
    for (const began = Date.now(); Date.now() - began < atLeast; ) {
      await sleep(Math.min(1000, atLeast), signal);
      await progress({ percent: Math.min(100, (100 * (Date.now() - began)) / atLeast) });
    }
    return { words: task.text.split(/\s+/).filter(Boolean).length };
  };
  await work(process.env["CB_URL"] ?? "http://127.0.0.1:3000", id, words, stop.signal, process.env["CB_TOKEN"]);
}
