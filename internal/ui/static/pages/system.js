// The system: health, stores, methods, projections, subscribers, batches and votes, and the flush.

import { call, may, session } from "../lib/api.js";
import { button, card, fill, h, instanceLink, pairs, put, table } from "../lib/dom.js";
import { ago, bytes, clock, count, cut, duration, number } from "../lib/format.js";
import { write } from "../lib/json.js";
import { live, poll } from "../lib/live.js";
import { ask } from "../parts/dialog.js";
import { failure, loading, toast } from "../parts/notice.js";
import { projections } from "../parts/projections.js";

/** @param {Place} place */
export function system({ root, signal, ready }) {
	const health = card("Health", loading()), stores = card("Stores", loading()), subscribers = card("Subscribers", loading()),
		methods = card("Methods", loading()), batches = card("Batches", loading()), votes = card("Votes", loading());
	fill(root, h("div", { class: "title" }, h("h1", null, "System"), h("small", null, session.info?.version ?? "")), h("div", { class: "columns" }, health, projections(signal)), stores, subscribers, methods,
		h("div", { class: "columns" }, batches, votes),
		may("system.flush") && card("Flush", h("p", null, "Deletes all tasks, instances, events and views of this fleet. It cannot be undone."), button("Flush everything…", flush, "danger")));

	const failed = (place, what) => (error) => put(place, failure(error, what));

	poll(10000, signal, async () => {
		const a = await call("system.health", {}, signal);
		const services = [["Redis", a.services.redis], ["Postgres", a.services.postgres], ["MCP", a.services.mcp]];
		put(health, h("p", { class: a.status === "healthy" ? "good" : "bad" }, a.status === "healthy" ? "✓ Healthy" : a.status === "degraded" ? "Degraded" : "Unhealthy"),
			h("ul", { class: "plain" }, services.map(([name, ok]) => h("li", { class: ok ? "good" : "bad" }, `${ok ? "✓" : "✗"} ${name} ${ok ? "works" : "does not answer"}`))),
			(a.reasons ?? []).map((r) => h("p", null, r)));
		ready();
	}, (error) => {
		failed(health, "the health")(error);
		ready();
	});

	poll(15000, signal, async () => {
		const { coordinators, stores: { redis: r, postgres: p } } = await call("system.info", {}, signal);
		put(stores, h("div", { class: "columns" }, store(r.product, r, [["Mode", `${r.mode}, ${r.role}`], ["Memory", `${bytes(r.memoryUsed)} of ${r.maxMemory ? bytes(r.maxMemory) : "no limit"}`],
			["When full", r.policy], ["Append-only file", `${r.persistence.aof}, fsync ${r.persistence.fsync}`], ["Last write", `file ${r.persistence.lastAofWrite}, snapshot ${r.persistence.lastSnapshotWrite}`]]),
		p ? store("Postgres", p, [["fsync", p.fsync], ["Commit", p.synchronousCommit], ["Full pages", p.fullPageWrites]]) : h("p", null, "There is no Postgres: tasks are not listed, and nothing has a history.")),
		h("p", null, `The fleet has ${count(coordinators, "coordinator")}.`));
	}, failed(stores, "the stores"));

	poll(15000, signal, async () => {
		const m = await call("system.metrics", { detailed: true }, signal);
		put(methods, h("p", null, h("small", null, "Calls of the coordinator that answers, since its start")), table("Methods",
			["Method", "Limit a minute", "Calls", "Errors", "Over the limit", "Mean", "p99", "Circuit"], session.methods.map((d) => {
				const s = m.handlers[d.name] ?? {};
				return [h("span", { title: d.description }, d.name), d.metadata.rateLimit > 0 ? number(d.metadata.rateLimit) : "none", number(s.totalCalls ?? 0), number(s.errorCount ?? 0), number(s.rateLimitHits ?? 0),
					s.totalCalls ? duration(s.avgResponseTime) : "–", s.totalCalls ? duration(s.p99) : "–",
					h("span", { class: s.circuitState && s.circuitState !== "CLOSED" ? "bad" : "" }, (s.circuitState ?? "CLOSED").toLowerCase().replace("_", " "))];
			})));
	}, failed(methods, "the methods"));

	poll(10000, signal, async () => {
		const a = await call("system.subscribers", {}, signal);
		put(subscribers, a.subscribers.length === 0 ? h("p", null, "None has a checkpoint or a consumer group.") : table("Subscribers", ["Name", "Kind", "Stream", "Position", "Lag", "Unacknowledged", "Parked", "Last moved"],
			a.subscribers.map((s) => [s.name, s.kind, s.stream ?? "", h("code", null, s.position ?? ""), s.lag === undefined || s.lag === null ? "unknown" : count(s.lag, "event"), number(s.pending ?? 0), number(s.parked ?? 0), s.updatedAt ? ago(s.updatedAt) : "–"])),
		a.parked > 0 && h("p", { class: "bad" }, `${count(a.parked, "event")} parked: `, h("code", null, "claudebench parked list")));
	}, failed(subscribers, "the subscribers"));

	const eventsSoon = poll(30000, signal, async () => {
		const [b, v] = await Promise.all(["batch.*", "quorum.*"].map((types) => call("event.list", { types, limit: 200 }, signal)));
		const byBatch = new Map(), byVote = new Map();
		for (const e of b.events) if (!byBatch.has(e.payload.batchId)) byBatch.set(e.payload.batchId, e);
		put(batches, byBatch.size === 0 ? h("p", null, "None yet.") : table("Batches", ["Batch", "Items", "Processor", "When"], [...byBatch.values()].slice(0, 20).map((e) => [
			e.payload.batchId, `${number(e.payload.itemsProcessed)} of ${number(e.payload.total)}`, instanceLink(e.payload.processorId), clock(e.timestamp)])));
		for (const e of v.events) {
			const d = byVote.get(e.payload.decision) ?? { last: e };
			if (e.type === "quorum.decision.made") d.made = e;
			byVote.set(e.payload.decision, d);
		}
		put(votes, byVote.size === 0 ? h("p", null, "None yet.") : table("Votes", ["Decision", "Votes", "Outcome", "When"], [...byVote.entries()].slice(0, 20).map(([name, d]) => [
			name, d.last.payload.totalInstances ? `${d.last.payload.voteCount} of ${d.last.payload.totalInstances}` : number(d.last.payload.voteCount),
			d.made ? (d.made.payload.value === null ? "no majority" : cut(write(d.made.payload.value), 60)) : "open", clock(d.last.timestamp)])));
	}, (error) => {
		failed(batches, "the batches")(error);
		failed(votes, "the votes")(error);
	});
	live.listen(signal, { reload: eventsSoon, events: (batch) => { if (batch.some((e) => /^(batch|quorum|system)\./.test(e.type))) eventsSoon(); } });
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
			toast(`Flushed: ${count(done.redis.keysDeleted, "key")} in Redis${done.postgres ? `, ${count(done.postgres.tasksDeleted, "task row")} in Postgres` : ""}.`);
		},
	});
}
