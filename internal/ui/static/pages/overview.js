// The overview: what the fleet does now, and did in the last hour.

import { call } from "../lib/api.js";
import { card, eachSecond, fill, find, h, keyed, link, pairs, put, set, text, title } from "../lib/dom.js";
import { ago, clock, count, duration, now, number, statusName } from "../lib/format.js";
import { live, poll } from "../lib/live.js";
import { Chart } from "../parts/chart.js";
import { line } from "../parts/event-line.js";
import { failure, loading } from "../parts/notice.js";
import { projections } from "../parts/projections.js";

/** @param {Place} place */
export function overview({ root, signal, ready }) {
	const health = h("div"), tiles = h("div", { class: "tiles" }), charts = h("div", { class: "charts" }), recent = h("ol", { class: "lines" }), read = h("small");
	const queues = card("Waiting tasks, by what they wait for"), warnings = card("Circuits and limits"),
		last = card("Last events", recent, link("/ui/events", "All events"));
	const head = title("Overview", read);
	fill(root, head, loading());

	let m;
	let asOf = 0;
	const showTiles = () => {
		const pending = m.tasksOpen - m.queue.inProgress;
		/** The 95th percentile in the last minute that has one. */
		const p95 = (what) => duration(m.lastHour.findLast((x) => x[what])?.[what].p95);
		/** @type {[string, string, string?, string?][]} */
		const list = [
			["Pending", number(Math.max(0, pending)), "/ui/tasks?status=pending"],
			["In progress", number(m.queue.inProgress), "/ui/tasks?status=in_progress"],
			["Completed", number(m.tasksCompleted), "/ui/tasks?status=completed"],
			["Failed", number(m.tasksFailed), "/ui/tasks?status=failed", m.tasksFailed > 0 ? "bad" : undefined],
			["Finished/min", number(Math.round(m.throughput))],
			["Waiting, p95", p95("wait")],
			["Running, p95", p95("run")],
			["Live instances", number(m.instances), "/ui/fleet"],
			["Leader", m.current.leader ?? "none", m.current.leader && `/ui/fleet/${encodeURIComponent(m.current.leader)}`],
		];
		keyed(tiles, list, ([name]) => name, ([name]) => h("a", { class: "tile" }, h("small", null, name), h("span", { class: "value" })), (tile, [, value, href, tone]) => {
			set(tile, { href, "data-tone": tone, title: value });
			text(find(tile, ".value"), value);
		});
	};

	const showCharts = () => {
		const hour = m.lastHour ?? [];
		/** @type {any[][]} kind, title, how a value is shown, series */
		const list = [
			["bars", "Finished", number, ["completed", 1, (x) => x.completed], ["failed", 4, (x) => x.failed]],
			["bars", "Created", number, ["created", 2, (x) => x.created]],
			["lines", "Waiting", duration, ["p50", 1, (x) => x.wait?.p50], ["p95", 3, (x) => x.wait?.p95]],
			["lines", "Running", duration, ["p50", 1, (x) => x.run?.p50], ["p95", 3, (x) => x.run?.p95]],
		];
		keyed(charts, list, ([, what]) => what, ([, what, , ...series]) => h("section", { class: "card" }, h("div", { class: "title" }, h("h2", null, what),
			h("span", { class: "legend" }, series.map(([name, colour]) => h("span", { class: `c${colour}` }, name)))), new Chart(),
		h("div", { class: "scale", "aria-hidden": "true" }, h("span", null, "an hour ago"), h("span", null, "now"))), (card, [kind, what, show, ...series]) => {
			/** @type {Chart} */ (find(card, "cb-chart")).data = { label: `${what}, the last hour by minute`, kind, show, times: hour.map((x) => x.time),
				series: series.map(([name, colour, value]) => ({ name, colour, values: hour.map(value) })) };
		});
	};

	const showQueues = () => {
		const list = [["any worker", m.queue.pending], ...m.queue.roles.map((q) => [q.roles.join(" + "), q.tasks]),
			["assigned, not claimed", m.queue.assigned], ["of instances that are gone", m.queue.orphaned]];
		const most = Math.max(1, ...list.map(([, n]) => n));
		put(queues, pairs(...list.filter(([, n], i) => n > 0 || i === 0).map(([name, n]) => [name, [h("meter", { min: 0, max: most, value: n, "aria-label": name }), number(n)]])));
	};

	const showWarnings = () => {
		const hits = Object.entries(m.handlers).filter(([, s]) => s.rateLimitHits > 0).sort((a, b) => b[1].rateLimitHits - a[1].rateLimitHits);
		const open = Object.entries(m.circuitBreaker.notClosed);
		put(warnings,
			h("p", null, open.length === 0 ? `All ${m.circuitBreaker.closed} circuits are closed.` : `Open or half open: ${open.map(([name, s]) => `${name} (${String(s).toLowerCase().replace("_", " ")})`).join(", ")}.`),
			hits.length === 0 ? h("p", null, "No call was over a rate limit.") : pairs(...hits.slice(0, 5).map(([name, s]) => ([name, `${count(s.rateLimitHits, "call")} over the limit`]))),
			h("p", null, h("small", null, "Since this coordinator started, ", duration(m.uptime * 1000), " ago. ", link("/ui/system", "All methods"))));
	};

	const soon = poll(10000, { signal, ready }, async () => {
		m = await call("system.metrics", { detailed: true, lastHour: true }, signal);
		asOf = now();
		const check = m.systemHealthCheck;
		fill(health, m.pauses && h("p", { class: "notice" }, "Paused: ", m.pauses.map((p) => p.roles ? p.roles.join(" + ") || "no roles" : "all queues").join(", ")),
			check.status !== "healthy" && h("div", { class: "notice", role: "status" }, h("strong", null, statusName(check.status)),
			(check.reasons ?? []).map((r) => h("p", null, r))));
		showTiles();
		showCharts();
		showQueues();
		showWarnings();
		if (!root.contains(tiles)) fill(root, head, health, tiles, charts, h("div", { class: "columns" }, queues, warnings, projections(signal)), last);
	}, (error) => { if (!m) fill(root, head, failure(error, "the metrics")); });

	/** @type {Envelope[]} */
	let latest = [];
	/** The stream and the answers may have the same events, and older ones. @param {Envelope[]} more */
	const add = (more) => {
		latest = [...new Map([...latest, ...more].map((e) => [e.seq, e])).values()].sort((a, b) => b.seq - a.seq).slice(0, 12);
		keyed(recent, latest, (e) => e.id, line);
	};
	const recentSoon = poll(30000, { signal }, async () => add((await call("system.get_state", { limit: 12 }, signal)).recentEvents ?? []));
	live.listen(signal, {
		reload: () => {
			latest = [];
			recentSoon();
			soon();
		},
		events: (batch) => {
			if (batch.some((e) => e.type === "system.flushed")) latest = [];
			add(batch.slice(-12));
			if (!m) return;
			for (const e of batch) {
				if (e.seq <= m.current.lastSeq - m.current.eventsLag) continue;
				if (e.payload.previousStatus === "in_progress") m.queue.inProgress--;
				if (/^task.(created|revived)/.test(e.type)) m.tasksOpen++;
				else if (e.type === "task.claimed") m.queue.inProgress++;
				else if (/^task.(completed|failed|cancelled)/.test(e.type)) {
					m.tasksOpen--;
					if (e.type === "task.failed") m.tasksFailed++;
					else if (e.type === "task.completed") m.tasksCompleted++;
				} else if (e.type === "leader.elected") m.current.leader = e.payload.id;
				else if (/^(instance|queue|system)\.|deleted/.test(e.type)) soon();
			}
			showTiles();
		},
	});
	eachSecond(read, () => { if (asOf > 0) text(read, now() - asOf > 30000 ? `as of ${clock(asOf)}, ${ago(asOf)}` : ""); });
}
