// The system: health, stores, methods, projections, subscribers, batches and votes, and the flush.

import { call, may, session } from "../lib/api.js";
import { button, card, fill, h, instanceLink, pairs, table, title } from "../lib/dom.js";
import { ago, bytes, clock, count, cut, duration, number, statusName } from "../lib/format.js";
import { write } from "../lib/json.js";
import { live } from "../lib/live.js";
import { ask } from "../parts/dialog.js";
import { current } from "../parts/notice.js";
import { projections } from "../parts/projections.js";

/** @param {Place} place */
export function system({ root, signal, ready }) {
	const [health] = current("Health", 10000, { signal, ready }, async () => {
		const a = await call("system.health", {}, signal);
		const services = [["Redis", a.services.redis], ["Postgres", a.services.postgres], ["MCP", a.services.mcp]];
		return [h("p", { class: a.status === "healthy" ? "good" : "bad" }, a.status === "healthy" ? "✓ Healthy" : statusName(a.status)),
			h("ul", { class: "plain" }, services.map(([name, ok]) => h("li", { class: ok ? "good" : "bad" }, `${ok ? "✓" : "✗"} ${name} ${ok ? "works" : "does not answer"}`))),
			...(a.reasons ?? []).map((r) => h("p", null, r))];
	});

	const [stores] = current("Stores", 15000, { signal }, async () => {
		const { coordinators, stores: { redis: r, postgres: p } } = await call("system.info", {}, signal);
		return [h("div", { class: "columns" }, store(r.product, r, [["Mode", `${r.mode}, ${r.role}`], ["Memory", `${bytes(r.memoryUsed)} of ${r.maxMemory ? bytes(r.maxMemory) : "no limit"}`],
			["When full", r.policy], ["Append-only file", `${r.persistence.aof}, fsync ${r.persistence.fsync}`], ["Last write", `file ${r.persistence.lastAofWrite}, snapshot ${r.persistence.lastSnapshotWrite}`]]),
		p ? store("Postgres", p, [["fsync", p.fsync], ["Commit", p.synchronousCommit], ["Full pages", p.fullPageWrites]]) : h("p", null, "There is no Postgres: tasks are not listed, and nothing has a history.")),
		h("p", null, `The fleet has ${count(coordinators, "coordinator")}.`)];
	});

	const [methods] = current("Methods", 15000, { signal }, async () => {
		const m = await call("system.metrics", { detailed: true }, signal);
		return [h("p", null, h("small", null, "Calls of the coordinator that answers, since its start")), table("Methods",
			["Method", "Limit a minute", "Calls", "Errors", "Over the limit", "Mean", "p99", "Circuit"], session.methods.map((d) => {
				const s = m.handlers[d.name] ?? {};
				return [h("span", { title: d.description }, d.name), d.metadata.rateLimit > 0 ? number(d.metadata.rateLimit) : "none", number(s.totalCalls ?? 0), number(s.errorCount ?? 0), number(s.rateLimitHits ?? 0),
					s.totalCalls ? duration(s.avgResponseTime) : "–", s.totalCalls ? duration(s.p99) : "–",
					h("span", { class: s.circuitState && s.circuitState !== "CLOSED" ? "bad" : "" }, (s.circuitState ?? "CLOSED").toLowerCase().replace("_", " "))];
			}))];
	});

	const [subscribers] = current("Subscribers", 10000, { signal }, async () => {
		const a = await call("system.subscribers", {}, signal);
		return [table("Subscribers", ["Name", "Kind", "Stream", "Position", "Lag", "Unacknowledged", "Parked", "Last moved"],
			a.subscribers.map((s) => [s.name, s.kind, s.stream ?? "", h("code", null, s.position ?? ""), s.lag == null ? "unknown" : count(s.lag, "event"), number(s.pending ?? 0), number(s.parked ?? 0), s.updatedAt ? ago(s.updatedAt) : "–"]),
			"None has a checkpoint or a consumer group."),
		a.parked > 0 && h("p", { class: "bad" }, `${count(a.parked, "event")} parked: `, h("code", null, "claudebench parked list"))];
	});

	const recent = async (types) => (await call("event.list", { types, limit: 200 }, signal)).events;
	const [batches, batchesSoon] = current("Batches", 30000, { signal }, async () => {
		const all = Map.groupBy(await recent("batch.*"), (e) => e.payload.batchId);
		return [table("Batches", ["Batch", "Items", "Processor", "When"], [...all].slice(0, 20).map(([id, [e]]) => [
			id, `${number(e.payload.itemsProcessed)} of ${number(e.payload.total)}`, instanceLink(e.payload.processorId), clock(e.timestamp)]))];
	});
	const [votes, votesSoon] = current("Votes", 30000, { signal }, async () => {
		const all = Map.groupBy(await recent("quorum.*"), (e) => e.payload.decision);
		return [table("Votes", ["Decision", "Votes", "Outcome", "When"], [...all].slice(0, 20).map(([name, list]) => {
			const { timestamp, payload: p } = list[0], made = list.findLast((e) => e.type === "quorum.decision.made")?.payload;
			return [name, p.totalInstances ? `${p.voteCount} of ${p.totalInstances}` : number(p.voteCount), made ? (made.value === null ? "no majority" : cut(write(made.value), 60)) : "open", clock(timestamp)];
		}))];
	});
	live.on(signal, (e) => /^(batch|quorum|system)\./.test(e.type), batchesSoon, votesSoon);
	fill(root, title("System", h("small", null, session.info?.version ?? "")), h("div", { class: "columns" }, health, projections(signal)), stores, subscribers, methods, h("div", { class: "columns" }, batches, votes),
		may("system.flush") && card("Flush", h("p", null, "Deletes all tasks, instances, events and views of this fleet. It cannot be undone."), button("Flush everything…", flush, "danger")));
}

/** @param {string} name @param {any[][]} settings */
const store = (name, s, settings) => h("div", null, h("h3", null, `${name} ${s.version}`), pairs(["Status", h("span", { class: s.status === "ok" ? "good" : "bad" }, s.status)], ...settings),
	s.warnings.map((w) => h("p", { class: "warning" }, "⚠ ", w)));

function flush() {
	ask({
		title: "Flush everything?", action: "Delete all data", danger: true,
		text: "All tasks, instances, events and views of this fleet are deleted, in Redis and in Postgres. Agents must register again. It cannot be undone.",
		fields: [{ name: "confirm", label: "Type FLUSH_ALL_DATA to confirm", required: true, exactly: "FLUSH_ALL_DATA" }],
		async run(v) {
			const done = await call("system.flush", { confirm: v.confirm });
			return `Flushed: ${count(done.redis.keysDeleted, "key")} in Redis${done.postgres ? `, ${count(done.postgres.tasksDeleted, "task row")} in Postgres` : ""}.`;
		},
	});
}
