// The fleet: who is alive, what each instance does, and who died in the last hour.

import { CallError, call, calls, may, mayFor } from "../lib/api.js";
import { badge, button, card, fill, find, h, instanceLink, keyed, put, taskLink, text } from "../lib/dom.js";
import { ago, clock, count, cut, duration, now, statusName } from "../lib/format.js";
import { eachSecond, live, poll } from "../lib/live.js";
import { ask } from "../parts/dialog.js";
import { failure, loading, notice, toast } from "../parts/notice.js";

const HOUR = 3600000;

/** Asks, and unregisters an instance. @param {string} id @param {() => void} then */
export function unregister(id, then) {
	ask({
		title: `Unregister ${id}?`, action: "Unregister", danger: true,
		text: "Its tasks, also those it works on, return to the queue and to other workers. A live agent registers again when it notices.",
		async run() {
			const done = await call("system.unregister", { instanceId: id });
			toast(done.unregistered ? `${id} is unregistered. ${count(done.tasksReassigned, "task")} went to others.` : `${id} was not registered any more.`);
			then();
		},
	});
}

/** The time that an instance has left, as a text and a meter. */
export function remaining(i) {
	const label = h("span"), meter = h("meter", { min: 0, max: i.ttlMs, low: i.ttlMs / 4, optimum: i.ttlMs, "aria-label": "Time left until it counts as dead" });
	const show = () => {
		const left = Math.max(0, i.lastSeen + i.ttlMs - now());
		meter.value = left;
		text(label, left === 0 ? "silent for too long" : `${duration(left)} left`);
	};
	show();
	return { element: h("div", { class: "ttl" }, meter, label), show };
}

export const load = (i) => `${i.inProgress} in progress, ${i.assigned} assigned${i.maxTasks > 0 ? `, of ${i.maxTasks}` : ""}`;

/** @param {Place} place */
export function fleet({ root, signal, ready }) {
	const summary = h("p"), place = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Live instances" }, loading()), dead = card("Died in the last hour", loading());
	fill(root, h("h1", null, "Fleet"), summary, place, dead);
	const body = h("tbody"), removes = may("system.unregister");
	const table = h("table", { class: "fleet" }, h("thead", null, h("tr", null, ["Instance", "Roles", "Status", "Load", "Works on", "Last seen", "Time left"].map((name) => h("th", { scope: "col" }, name)),
		removes && h("th", { scope: "col" }, h("span", { class: "hidden" }, "Actions")))), body);
	const instances = new Map();
	let work = new Map();

	const soon = poll(5000, signal, async () => {
		const state = await call("system.get_state", {}, signal);
		const list = (state.instances ?? []).sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
		work = Map.groupBy((state.tasks ?? []).filter((t) => t.assignedTo && t.status === "in_progress"), (t) => t.assignedTo);
		instances.clear();
		for (const i of list) instances.set(i.id, i);
		const leader = list.find((i) => i.isLeader);
		fill(summary, count(state.totals?.instances ?? list.length, "live instance"), state.totals?.instances > list.length ? `, the ${list.length} seen last are below` : "",
			". ", ...leader ? ["The leader is ", instanceLink(leader.id), "."] : ["There is no leader."]);
		if (list.length === 0) fill(place, notice("empty", "No instance is alive.", "Start a worker: ", h("code", null, "claudebench work -- COMMAND")));
		else {
			keyed(body, list, (i) => i.id, make, update);
			if (!place.contains(table)) fill(place, table);
		}
		ready();
	}, (error) => {
		fill(instances.size === 0 ? place : summary, failure(error, "the fleet"));
		ready();
	});

	const make = (i) => h("tr", null, h("td", null, instanceLink(i.id), " ", h("span", { class: "leader" })), ["roles", "status", "load", "work", "seen", "left"].map((name) => h("td", { class: name })),
		removes && h("td", null, mayFor("system.unregister", i.id) && h("button", { type: "button", "aria-label": `Unregister ${i.id}`, onclick: () => unregister(i.id, soon) }, "Unregister…")));
	const update = (row, i) => {
		const cell = (name) => find(row, `.${name}`);
		text(cell("leader"), i.isLeader ? "★ leader" : "");
		text(cell("roles"), i.roles.join(", "));
		fill(cell("status"), badge(i.status.toLowerCase(), i.status === "BUSY" ? "Busy" : "Idle"));
		text(cell("load"), load(i));
		const tasks = work.get(i.id) ?? [], few = tasks.slice(0, 3);
		fill(cell("work"), few.flatMap((t, n) => [n > 0 ? ", " : "", taskLink(t.id, ` ${cut(t.text, 40)}`)]), i.inProgress > few.length && few.length > 0 ? ` and ${i.inProgress - few.length} more` : "");
		show(row, i);
	};
	const show = (row, i) => {
		text(find(row, ".seen"), ago(i.lastSeen));
		fill(find(row, ".left"), remaining(i).element);
	};
	eachSecond(signal, () => {
		for (const row of body.rows) {
			const i = instances.get(row.dataset.key ?? "");
			if (i) show(row, i);
		}
	});

	const deadSoon = poll(60000, signal, async () => {
		const deaths = (await call("event.list", { types: "instance.failed", since: new Date(now() - HOUR).toISOString(), limit: 50 }, signal)).events;
		put(dead, deaths.length === 0 ? h("p", null, "None.") : h("ul", { class: "plain" }, deaths.map(death)));
	}, (error) => put(dead, failure(error, "the deaths")));

	function death(e) {
		const p = e.payload, became = h("div");
		return h("li", null, instanceLink(p.id), ` died at ${clock(e.timestamp)}, last seen ${clock(p.lastSeen)}. ${count(p.tasksReassigned, "task")} went to others. `,
			p.tasksReassigned > 0 && button("What became of them", async () => {
				fill(became, loading());
				fill(became, await whatBecame(p.id, e.seq).catch((error) => failure(error, "the tasks")));
			}), became);
	}

	/** The tasks that an instance lost by its death, as they are now. @param {string} id @param {number} seq */
	async function whatBecame(id, seq) {
		const list = (await call("instance.history", { id, limit: 200, order: "desc" }, signal)).events;
		const ids = [...new Set(list.filter((e) => e.seq >= seq && e.payload.reason === "instance_failed").map((e) => String(e.payload.taskId)))].slice(0, 50);
		if (ids.length === 0) return notice("empty", "Its tasks are on their way back to the queue.");
		const answers = await calls(ids.map((task) => ["task.get", { id: task }]), signal);
		return h("ul", null, ids.map((task, n) => {
			const t = answers[n];
			return h("li", null, taskLink(task), " ", ...t instanceof CallError ? ["is gone"] : [badge(t.status, statusName(t.status)), ...t.assignedTo ? [" at ", instanceLink(t.assignedTo)] : []]);
		}));
	}

	live.listen(signal, { reload: soon, events: (batch) => {
		if (batch.some((e) => /^(instance|leader|system)\./.test(e.type))) soon();
		if (batch.some((e) => e.type === "instance.failed")) deadSoon();
	} });
}
