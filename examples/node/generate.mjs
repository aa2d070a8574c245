// Writes the TypeScript types and the typed methods of the API to standard output. It reads the
// OpenRPC document from standard input, or from the coordinator at --url:
//
//	node generate.mjs --url http://127.0.0.1:3000 > src/api.ts
import { compile } from "json-schema-to-typescript";

const document = await read(process.argv.slice(2));
process.stdout.write(await generate(document));

async function read([flag, url]) {
  if (flag !== "--url") {
    let text = "";
    for await (const chunk of process.stdin) text += chunk;
    return JSON.parse(text);
  }
  const response = await fetch(new URL("/rpc", url), {
    method: "POST",
    headers: { "Content-Type": "application/json", ...(process.env.CB_TOKEN && { Authorization: `Bearer ${process.env.CB_TOKEN}` }) },
    body: JSON.stringify({ jsonrpc: "2.0", id: 1, method: "rpc.discover" }),
  });
  const answer = await response.json();
  if (!answer.result) throw new Error(`rpc.discover: ${JSON.stringify(answer.error ?? answer)}`);
  return answer.result;
}

async function generate({ methods }) {
  const task = methods.find((m) => m.name === "task.get").result.schema;
  const definitions = { Task: { ...task, description: "A task, as every method returns it." } };
  for (const m of methods) {
    definitions[`${pascal(m.name)}Params`] = named(paramsOf(m), `The params of ${m.name}.`, task);
    if (!isTask(m.result.schema, task)) {
      definitions[`${pascal(m.name)}Result`] = named(m.result.schema, `The result of ${m.name}.`, task);
    }
  }
  const types = await compile({ title: "Root", type: "object", additionalProperties: false, definitions }, "Root", {
    bannerComment: "",
    ignoreMinAndMaxItems: true,
    unreachableDefinitions: true,
    format: true,
    style: { printWidth: 120 },
  });
  return [
    "// Written by generate.mjs from rpc.discover; do not edit.\n",
    types
      .replace(/export interface Root \{\}\n/, "")
      .replace(/\n \*\n \* This interface was referenced by `Root`'s JSON-Schema\n \* via the `definition` "\w+"\./g, "")
      .trim(),
    "\n/** How the methods are called. */\nexport interface Caller {",
    "  call<R>(method: string, params: object, timeoutMs: number): Promise<R>;\n}",
    "\n/** The methods of the API. */\nexport abstract class Methods implements Caller {",
    "  abstract call<R>(method: string, params: object, timeoutMs: number): Promise<R>;",
    ...methods.map((m) => method(m, task)),
    "}\n",
  ].join("\n");
}

// method is the typed method of a class. waitMs of a claim is added to its timeout.
function method(m, task) {
  const params = `${pascal(m.name)}Params`;
  const result = isTask(m.result.schema, task) ? "Task" : `${pascal(m.name)}Result`;
  const needs = m.params.some((p) => p.required) ? "" : " = {}";
  const waits = m.params.some((p) => p.name === "waitMs") ? " + (params.waitMs ?? 0)" : "";
  const name = pascal(m.name).replace(/^./, (c) => c.toLowerCase());
  return `
  /** ${m.description.replaceAll("*/", "* /")} */
  ${name}(params: ${params}${needs}): Promise<${result}> {
    return this.call("${m.name}", params, ${m["x-timeoutMs"] ?? 5000}${waits});
  }`;
}

function paramsOf(m) {
  return {
    type: "object",
    properties: Object.fromEntries(m.params.map((p) => [p.name, p.schema])),
    required: m.params.filter((p) => p.required).map((p) => p.name),
    additionalProperties: false,
  };
}

function named(schema, description, task) {
  return { ...withTasks(schema, task), description };
}

// withTasks replaces each schema of a task by the name of its type, and each schema of any JSON by
// unknown.
function withTasks(schema, task) {
  if (Array.isArray(schema)) return schema.map((s) => withTasks(s, task));
  if (schema === null || typeof schema !== "object") return schema;
  if (isTask(schema, task)) {
    const type = [schema.type].flat().includes("null") ? "Task | null" : "Task";
    return { tsType: type, description: schema.description };
  }
  const parts = Object.entries(schema).map(([k, v]) => [k, k === "properties" ? properties(v, task) : withTasks(v, task)]);
  return Object.fromEntries(parts);
}

function properties(all, task) {
  return Object.fromEntries(Object.entries(all).map(([name, schema]) => [name, isAny(schema) ? { ...schema, tsType: "unknown" } : withTasks(schema, task)]));
}

function isAny(schema) {
  return schema === true || Object.keys(schema).every((k) => k === "description");
}

function isTask(schema, task) {
  return JSON.stringify(schema?.properties) === JSON.stringify(task.properties);
}

function pascal(name) {
  return name.replace(/(^|[._])(.)/g, (_, _dot, c) => c.toUpperCase());
}
