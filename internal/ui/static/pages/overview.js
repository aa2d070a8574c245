// The overview: what the fleet does now, and did in the last hour.

import { call, request } from "../lib/api.js";
import { card, fill, h, keyed, link, pairs, put, text } from "../lib/dom.js";
import { ago, clock, compact, count, duration, number } from "../lib/format.js";
import { parse } from "../lib/json.js";
import { eachSecond, live, poll } from "../lib/live.js";
import { Chart } from "../parts/chart.js";
import { line } from "../parts/event-line.js";
import { failure, loading, notice } from "../parts/notice.js";

/** @param {Place} place */
export function overview({ root, signal, ready }) {
	const health = h("div", { class: "health" });
	const tiles = h("div", { class: "tiles" });
	const charts = h("div", { class: "charts" });
	const queues = card("Waiting tasks, by what they wait for"), warnings = card("Circuits and limits"), projections = card("Projections"), last = card("Last events");
	const recent = h("ol", { class: "lines" });
	const read = h("small", { class: "read" });
	fill(root, h("div", { class: "title" }, h("h1", null, "Overview"), read), health, tiles, loading());

	/** @type {any} */
	let m;
	let asOf = 0;
	const done = () => {
		if (root.contains(charts)) return;
		fill(root, h("div", { class: "title" }, h("h1", null, "Overview"), read), health, tiles, charts,
			h("div", { class: "columns" }, queues, warnings, projections),
			last);
		put(last, recent, link("/ui/events", "All events"));
		ready();
	};

	/** The tiles, from the last answer and the events since. */
	const showTiles = () => {
		const pending = m.tasksOpen - m.queue.inProgress;
		/** @type {[string, string, string, string?][]} */
		const list = [
			["Pending", compact(Math.max(0, pending)), "/ui/tasks?status=pending"],
			["In progress", compact(m.queue.inProgress), "/ui/tasks?status=in_progress"],
			["Completed", compact(m.tasksCompleted), "/ui/tasks?status=completed"],
			["Failed", compact(m.tasksFailed), "/ui/tasks?status=failed", m.tasksFailed > 0 ? "bad" : ""],
			["Finished per min", number(Math.round(m.throughput)), ""],
			["Waiting, mean", duration(m.queue.averageWaitMs), ""],
			["Running, mean", duration(m.global.averageRunMs), ""],
			["Live instances", compact(m.instances), "/ui/fleet"],
			["Leader", m.current.leader ?? "none", m.current.leader ? `/ui/fleet/${encodeURIComponent(m.current.leader)}` : ""],
		];
		keyed(tiles, list, ([name]) => name, ([name, , href]) => {
			const tile = h(href ? "a" : "div", { class: "tile" }, h("span", { class: "name" }, name), h("span", { class: "value" }));
			return /** @type {HTMLElement} */ (tile);
		}, (tile, [, value, href, tone]) => {
			if (href) tile.setAttribute("href", href);
			tile.dataset.tone = tone ?? "";
			text(/** @type {Element} */ (tile.lastElementChild), value);
			tile.title = value;
		});
	};

	const showCharts = () => {
		/** @type {any[]} */
		const hour = m.lastHour ?? [];
		const times = hour.map((x) => x.time);
		/** @param {string} name @param {string} title @param {"bars" | "lines"} kind @param {Series[]} series @param {(n: number) => string} show */
		const chart = (name, title, kind, series, show) => ({ name, title, data: { label: `${title}, the last hour by minute`, kind, times, series, show } });
		const list = [
			chart("finished", "Finished", "bars", [
				{ name: "completed", colour: 1, values: hour.map((x) => x.completed) }, { name: "failed", colour: 4, values: hour.map((x) => x.failed) }], number),
			chart("created", "Created", "bars", [{ name: "created", colour: 2, values: hour.map((x) => x.created) }], number),
			chart("wait", "Waiting", "lines", [
				{ name: "p50", colour: 1, values: hour.map((x) => x.wait?.p50) }, { name: "p95", colour: 3, values: hour.map((x) => x.wait?.p95) }], duration),
			chart("run", "Running", "lines", [
				{ name: "p50", colour: 1, values: hour.map((x) => x.run?.p50) }, { name: "p95", colour: 3, values: hour.map((x) => x.run?.p95) }], duration),
		];
		keyed(charts, list, (c) => c.name, (c) => h("section", { class: "card" }, h("div", { class: "title" }, h("h2", null, c.title),
			h("span", { class: "legend" }, c.data.series.map((s) => h("span", { class: `c${s.colour}` }, s.name)))), document.createElement("cb-chart"),
		h("div", { class: "scale", "aria-hidden": "true" }, h("span", null, "an hour ago"), h("span", null, "now"))),
		(card, c) => { /** @type {Chart} */ (card.querySelector("cb-chart")).data = c.data; });
	};

	const showQueues = () => {
		const list = [["any worker", m.queue.pending], ...m.queue.roles.map((q) => [q.roles.join(" + "), q.tasks]),
			["assigned, not claimed", m.queue.assigned], ["of instances that are gone", m.queue.orphaned]];
		const most = Math.max(1, ...list.map(([, n]) => n));
		put(queues, h("dl", { class: "bars" }, list.filter(([, n], i) => n > 0 || i === 0).map(([name, n]) => [
			h("dt", null, name), h("dd", null, h("meter", { min: 0, max: most, value: n, "aria-label": name }), h("span", null, number(n)))]).flat()));
	};

	const showWarnings = () => {
		const hits = Object.entries(m.handlers).filter(([, s]) => s.rateLimitHits > 0).sort((a, b) => b[1].rateLimitHits - a[1].rateLimitHits);
		const open = Object.entries(m.circuitBreaker.notClosed);
		put(warnings,
			h("p", null, open.length === 0 ? `All ${m.circuitBreaker.closed} circuits are closed.` : `Open or half open: ${open.map(([name, s]) => `${name} (${String(s).toLowerCase().replace("_", " ")})`).join(", ")}.`),
			hits.length === 0 ? h("p", null, "No call was over a rate limit.") : pairs(...hits.slice(0, 5).map(([name, s]) => ([name, `${count(s.rateLimitHits, "call")} over the limit`]))),
			h("p", null, h("small", null, "Since this coordinator started, ", duration(m.uptime * 1000), " ago. ", link("/ui/system", "All methods"))));
	};

	const soon = poll(15000, signal, async () => {
		m = await call("system.metrics", { detailed: true, lastHour: true }, signal);
		asOf = Date.now();
		const check = m.systemHealthCheck;
		fill(health, check.status !== "healthy" && h("div", { class: "notice", role: "status" }, h("strong", null, check.status === "degraded" ? "Degraded" : "Unhealthy"),
			(check.reasons ?? []).map((/** @type {string} */ r) => h("p", null, r))));
		showTiles();
		showCharts();
		showQueues();
		showWarnings();
		done();
	}, (error) => {
		if (!m) {
			fill(root, h("h1", null, "Overview"), failure(error, "the metrics"));
			ready();
		}
	});

	poll(5000, signal, async () => {
		const answer = parse(await (await request("/readyz", { signal })).text());
		/** @type {any[]} */
		const list = answer.projections ?? [];
		put(projections, list.length === 0 ? notice("empty", "This caller does not see them.")
			: pairs(...list.map((p) => ([p.name, h("span", { class: p.failingSince ? "bad" : "" }, lag(p))]))));
	}, (error) => put(projections, failure(error, "the projections")));

	/** @type {Envelope[]} */
	let latest = [];
	const showRecent = () => keyed(recent, latest, (e) => e.id, line);
	poll(600000, signal, async () => {
		const state = await call("system.get_state", { limit: 12 }, signal);
		latest = state.recentEvents ?? [];
		showRecent();
	});
	live.listen(signal, {
		reload: soon,
		events: (batch) => {
			latest = [...batch.slice(-12).reverse(), ...latest].slice(0, 12);
			showRecent();
			if (!m) return;
			for (const e of batch) {
				if (e.seq <= m.current.lastSeq - m.current.eventsLag) continue;
				if (e.type === "task.created") m.tasksOpen++;
				else if (e.type === "task.claimed") m.queue.inProgress++;
				else if (e.type === "task.unassigned" && e.payload.previousStatus === "in_progress") m.queue.inProgress--;
				else if (e.type === "task.completed" || e.type === "task.failed") {
					m.tasksOpen--;
					if (e.payload.previousStatus === "in_progress") m.queue.inProgress--;
					if (e.type === "task.failed") m.tasksFailed++;
					else m.tasksCompleted++;
				} else if (e.type === "leader.elected") m.current.leader = e.payload.id;
				else if (e.type.startsWith("instance.") || e.type === "system.flushed" || e.type === "task.deleted") soon();
			}
			showTiles();
		},
	});
	eachSecond(signal, (now) => { if (asOf > 0) text(read, now - asOf > 30000 ? `as of ${clock(asOf)}, ${ago(asOf, now)}` : ""); });
}

/** @param {any} p a projection as /readyz has it @returns {string} */
export function lag(p) {
	if (p.error) return p.error;
	if (p.lag === 0) return "has every event";
	return p.lag > 0 ? `${count(p.lag, "event")} behind` : "unknown";
}
