// Runs the cases of client/testdata/conformance.json against a new coordinator. The Go client runs
// the same ones.
//
//	node dist/conformance.js URL CASES
import { readFileSync } from "node:fs";
import { Client, RpcError } from "./client.js";

interface Case {
  name: string;
  method: string;
  params: object;
  /** Members of the result that later cases use: $name is the member at a path. */
  save?: Record<string, string>;
  result?: unknown;
  error?: { code: number; reason?: string; is: keyof typeof kinds };
}

/** What a client can ask about an error. */
const kinds = {
  conflict: (e: RpcError) => e.reason !== undefined,
  invalidParams: (e: RpcError) => e.isInvalidParams,
  leaseLost: (e: RpcError) => e.isLeaseLost,
  notFound: (e: RpcError) => e.isNotFound,
  notRegistered: (e: RpcError) => e.isNotRegistered,
  rateLimited: (e: RpcError) => (e.retryAfterMs ?? 0) > 0,
  unavailable: (e: RpcError) => e.isUnavailable && !e.isOutcomeUnknown,
};

/** Returns where got lacks something of want, or "". Members of got that want lacks do not matter. */
function difference(want: unknown, got: unknown, path: string): string {
  if (want === null || typeof want !== "object" || got === null || typeof got !== "object") {
    return want === got ? "" : `${path} is ${JSON.stringify(got)}, want ${JSON.stringify(want)}`;
  }
  if (Array.isArray(want) !== Array.isArray(got)) return `${path} is ${JSON.stringify(got)}`;
  if (Array.isArray(want) && want.length !== (got as unknown[]).length) return `${path} has ${(got as unknown[]).length} elements, want ${want.length}`;
  for (const [name, member] of Object.entries(want)) {
    const found = difference(member, (got as Record<string, unknown>)[name], `${path}.${name}`);
    if (found) return found;
  }
  return "";
}

/** The typed method of a method: taskCreateMany of task.create_many. */
function typed(client: Client, method: string): (params: object) => Promise<unknown> {
  const name = method.replace(/[._](.)/g, (_, c: string) => c.toUpperCase()) as keyof Client;
  return (client[name] as (params: object) => Promise<unknown>).bind(client);
}

const saved: Record<string, string> = {};

async function run(client: Client, c: Case): Promise<string> {
  try {
    const result = await typed(client, c.method)(c.params);
    for (const [name, path] of Object.entries(c.save ?? {})) {
      saved[name] = String(path.split(".").reduce<unknown>((at, member) => (at as Record<string, unknown>)[member], result));
    }
    return c.error ? `no error, but ${JSON.stringify(result)}` : difference(c.result, result, "result");
  } catch (error) {
    if (!(error instanceof RpcError) || !c.error) return String(error);
    if (error.code !== c.error.code || error.reason !== c.error.reason) return error.message;
    return kinds[c.error.is](error) ? "" : `${error.message} is not ${c.error.is}`;
  }
}

const [url, file] = process.argv.slice(2);
if (!url || !file) throw new Error("usage: node dist/conformance.js URL CASES");
const client = new Client(url, { patienceMs: 0 });
const cases = JSON.parse(readFileSync(file, "utf8")) as unknown[];
for (const each of cases) {
  const c = JSON.parse(JSON.stringify(each).replace(/"\$(\w+)"/g, (_, name: string) => JSON.stringify(saved[name]))) as Case;
  const wrong = await run(client, c);
  if (wrong) {
    console.error(`${c.name} (${c.method}): ${wrong}`);
    process.exitCode = 1;
  }
}
console.log(`${cases.length} cases`);
