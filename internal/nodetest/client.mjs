// An official MCP client for TypeScript that a Go test controls. Each line of standard input is a
// command {id, do, …}, and each line of standard output its answer {id, result} or {id, error}, or
// a progress notification {id, progress}. The first argument is the generation of the client: v1 is
// @modelcontextprotocol/sdk, v2 is @modelcontextprotocol/client.
import { createInterface } from "node:readline";

const v1 = process.argv[2] === "v1";
const { Client, StreamableHTTPClientTransport } = v1
  ? { ...(await import("@modelcontextprotocol/sdk/client/index.js")), ...(await import("@modelcontextprotocol/sdk/client/streamableHttp.js")) }
  : await import("@modelcontextprotocol/client");
const { StdioClientTransport } = await import(v1 ? "@modelcontextprotocol/sdk/client/stdio.js" : "@modelcontextprotocol/client/stdio");

let client, transport;

const commands = {
  async connect({ url, command, args, env, version }) {
    const options = v1 || !version ? {} : { versionNegotiation: { mode: version } };
    client = new Client({ name: "claudebench-test", version: "1" }, options);
    transport = url
      ? new StreamableHTTPClientTransport(new URL(url))
      : new StdioClientTransport({ command, args, env: { ...process.env, ...env }, stderr: "pipe" });
    // A pipe, as agents use: it breaks when the agent is killed.
    transport.stderr?.pipe(process.stderr);
    await client.connect(transport);
    return {
      server: client.getServerVersion(), instructions: client.getInstructions(), pid: transport.pid,
      protocol: client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion,
    };
  },
  tools: () => client.listTools(),
  prompts: () => client.listPrompts(),
  prompt: ({ name }) => client.getPrompt({ name }),
  resources: () => client.listResources(),
  read: ({ uri }) => client.readResource({ uri }),
  call({ id, name, arguments: args, progress, timeout, meta }) {
    const options = {};
    if (progress) options.onprogress = (p) => answer({ id, progress: p });
    if (progress) options.resetTimeoutOnProgress = true;
    if (timeout) options.timeout = timeout;
    const params = { name, arguments: args, ...(meta && { _meta: meta }) };
    return v1 ? client.callTool(params, undefined, options) : client.callTool(params, options);
  },
  async close() {
    await client.close();
    return {};
  },
  async tokens({ text }) {
    const { encode } = await import("gpt-tokenizer");
    return encode(text).length;
  },
};

const answer = (line) => process.stdout.write(JSON.stringify(line) + "\n");

for await (const line of createInterface({ input: process.stdin })) {
  const command = JSON.parse(line);
  // Not awaited: calls may overlap.
  Promise.resolve()
    .then(() => commands[command.do](command))
    .then((result) => answer({ id: command.id, result }), (e) => answer({ id: command.id, error: { code: e.code, message: e.message ?? String(e) } }));
}
if (client) await client.close();
process.exit(0);
