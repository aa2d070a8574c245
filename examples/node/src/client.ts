// A client of a ClaudeBench coordinator: JSON-RPC over HTTP, with typed methods and typed errors.
import { Methods } from "./api.js";

/** The data of an error, see docs/api.md. */
export interface ErrorData {
  reason?: string;
  retryAfterMs?: number;
  [member: string]: unknown;
}

/** An error that the coordinator returned. */
export class RpcError extends Error {
  override name = "RpcError";

  constructor(
    readonly method: string,
    readonly code: number,
    message: string,
    readonly data?: string | ErrorData,
  ) {
    super(`${method}: ${message} (${code})${data === undefined ? "" : `: ${JSON.stringify(data)}`}`);
  }

  /** The reason of a conflict, such as STALE_ATTEMPT. */
  get reason(): string | undefined {
    return this.code === -32005 && typeof this.data === "object" ? this.data.reason : undefined;
  }

  /** How long to wait after a rate limit, in milliseconds. */
  get retryAfterMs(): number | undefined {
    return this.code === -32000 && typeof this.data === "object" ? this.data.retryAfterMs : undefined;
  }

  get isInvalidParams(): boolean {
    return this.code === -32602;
  }

  get isNotRegistered(): boolean {
    return this.code === -32003;
  }

  get isNotFound(): boolean {
    return this.code === -32004;
  }

  /** Nothing has changed: Redis or Postgres could not be reached. */
  get isUnavailable(): boolean {
    return this.code === -32603 && typeof this.data === "string" && /^(Redis unavailable|Postgres unavailable|Circuit breaker open)/.test(this.data);
  }

  /** The call may or may not have taken effect. */
  get isOutcomeUnknown(): boolean {
    return this.code === -32603 && !this.isUnavailable;
  }

  /** The task is no longer that of the caller. */
  get isLeaseLost(): boolean {
    const lost = ["ALREADY_FINISHED", "NOT_ASSIGNED", "NOT_CLAIMED", "NOT_OWNER", "STALE_ATTEMPT", "UNKNOWN_ATTEMPT"];
    return this.isNotFound || lost.includes(this.reason ?? "");
  }
}

/** There was no answer of a coordinator. The call may have taken effect. */
export class ConnectionError extends Error {
  override name = "ConnectionError";
}

export interface Options {
  /** The token, for a coordinator with an auth file. */
  token?: string | undefined;
  /** How long a failed call is repeated if that is safe, in milliseconds; 10000 by default. */
  patienceMs?: number;
  /** Ends all calls. */
  signal?: AbortSignal;
}

/** How much longer than the coordinator the client waits for an answer. */
const slackMs = 5000;

/** A client of one coordinator, with a method for each method of the API. */
export class Client extends Methods {
  constructor(
    readonly url: string,
    readonly options: Options = {},
  ) {
    super();
    new URL(url); // throws now if it is no URL
  }

  /**
   * Calls a method. The call is repeated after a rate limit and after an error that changed nothing.
   * After a lost answer it is repeated only if it has an idempotency key.
   */
  override async call<R>(method: string, params: object, timeoutMs: number): Promise<R> {
    const end = Date.now() + (this.options.patienceMs ?? 10_000);
    for (let pause = 100; ; pause = Math.min(2 * pause, 2000)) {
      try {
        return await this.once<R>(method, params, timeoutMs + slackMs);
      } catch (error) {
        const wait = Math.max(repeatAfter(error, "idempotencyKey" in params) * pause, (error as RpcError).retryAfterMs ?? 0);
        if (wait === 0 || Date.now() + wait > end || this.options.signal?.aborted) throw error;
        await sleep(wait, this.options.signal);
      }
    }
  }

  private async once<R>(method: string, params: object, timeoutMs: number): Promise<R> {
    const headers: Record<string, string> = { "Content-Type": "application/json" };
    if (this.options.token) headers["Authorization"] = `Bearer ${this.options.token}`;
    const signals = [AbortSignal.timeout(timeoutMs), ...(this.options.signal ? [this.options.signal] : [])];
    let text: string;
    try {
      const response = await fetch(`${this.url.replace(/\/+$/, "")}/rpc`, {
        method: "POST",
        headers,
        body: JSON.stringify({ jsonrpc: "2.0", id: crypto.randomUUID(), method, params }),
        signal: AbortSignal.any(signals),
        redirect: "manual",
      });
      text = await response.text();
    } catch (error) {
      throw new ConnectionError(`${method}: no answer from the coordinator at ${this.url}`, { cause: error });
    }
    const answer = parse(text);
    if (answer?.error) throw new RpcError(method, answer.error.code, answer.error.message, answer.error.data);
    if (answer?.result === undefined) throw new Error(`${method}: the answer of ${this.url} is not a coordinator's; check the URL: ${text.slice(0, 100)}`);
    return answer.result as R;
  }
}

interface Answer {
  result?: unknown;
  error?: { code: number; message: string; data?: string | ErrorData };
}

function parse(text: string): Answer | undefined {
  try {
    return JSON.parse(text) as Answer;
  } catch {
    return undefined;
  }
}

/** 1 if a call may be repeated after an error, else 0. */
function repeatAfter(error: unknown, hasKey: boolean): number {
  if (error instanceof ConnectionError) return hasKey ? 1 : 0;
  if (!(error instanceof RpcError)) return 0;
  return error.retryAfterMs !== undefined || error.isUnavailable || (error.isOutcomeUnknown && hasKey) ? 1 : 0;
}

/** Waits, or until the signal is aborted. */
export function sleep(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = () => {
      clearTimeout(timer);
      signal?.removeEventListener("abort", done);
      resolve();
    };
    const timer = setTimeout(done, ms);
    signal?.addEventListener("abort", done);
  });
}
