// The fleet: who is alive, what each instance does, and who died in the last hour.

import { CallError, call, calls, may, mayFor } from "../lib/api.js";
import { badge, button, eachSecond, fill, h, instanceLink, plain, since, taskLink, text } from "../lib/dom.js";
import { clock, count, cut, duration, now } from "../lib/format.js";
import { live, poll } from "../lib/live.js";
import { ask } from "../parts/dialog.js";
import { current, failure, loading, notice } from "../parts/notice.js";
import { action, rows } from "../parts/rows.js";

const HOUR = 3600000;

/** Asks, and unregisters an instance. @param {string} id @param {() => void} then */
export function unregister(id, then) {
	ask({
		title: `Unregister ${id}?`, action: "Unregister", danger: true,
		text: "Its tasks, also those it works on, return to the queue and to other workers. A live agent registers again when it notices.",
		async run() {
			const done = await call("system.unregister", { instanceId: id });
			return done.unregistered ? `${id} is unregistered. ${count(done.tasksReassigned, "task")} went to others.` : `${id} was not registered any more.`;
		},
	}, then);
}

/** The time that an instance has left, as a text and a meter. */
export function remaining(i) {
	const label = h("span"), meter = h("meter", { min: 0, max: i.ttlMs, low: i.ttlMs / 4, optimum: i.ttlMs, "aria-label": "Time left until it counts as dead" });
	return eachSecond(h("div", { class: "ttl" }, meter, label), () => {
		const left = Math.max(0, i.lastSeen + i.ttlMs - now());
		meter.value = left;
		text(label, left === 0 ? "silent for too long" : `${duration(left)} left`);
	});
}

export const load = (i) => `${i.inProgress} in progress, ${i.assigned} assigned${i.maxTasks > 0 ? `, of ${i.maxTasks}` : ""}`;

/** @param {Place} place */
export function fleet({ root, signal, ready }) {
	const summary = h("p");
	let work = new Map();
	const { place, show, failed } = rows("Live instances", [
		["", "Instance", (i) => [instanceLink(i.id), " ", i.isLeader && h("span", { class: "leader" }, "★ leader")]], ["roles", "Roles", (i) => i.roles.join(", ")],
		["", "Status", (i) => badge(i.status.toLowerCase())], ["", "Load", load], ["", "Works on", worksOn], ["", "Last seen", (i) => since(i.lastSeen)], ["", "Time left", remaining],
		may("system.unregister") && action((i) => mayFor("system.unregister", i.id) && button("Unregister…", () => unregister(i.id, soon), "", { "aria-label": `Unregister ${i.id}` })),
	]);

	const soon = poll(5000, { signal, ready }, async () => {
		const state = await call("system.get_state", {}, signal);
		const list = (state.instances ?? []).sort((a, b) => a.id.localeCompare(b.id, "en", { numeric: true }));
		work = Map.groupBy((state.tasks ?? []).filter((t) => t.assignedTo && t.status === "in_progress"), (t) => t.assignedTo);
		const leader = list.find((i) => i.isLeader);
		fill(summary, count(state.totals?.instances ?? list.length, "live instance"), state.totals?.instances > list.length ? `, the ${list.length} seen last are below` : "",
			". ", ...leader ? ["The leader is ", instanceLink(leader.id), "."] : ["There is no leader."]);
		show(list, notice("empty", "No instance is alive.", "Start a worker: ", h("code", null, "claudebench work -- COMMAND")));
	}, failed("the fleet"));

	function worksOn(i) {
		const tasks = work.get(i.id) ?? [], few = tasks.slice(0, 3);
		return [...few.flatMap((t, n) => [n > 0 ? ", " : "", taskLink(t.id, ` ${cut(t.text, 40)}`)]), i.inProgress > few.length && few.length > 0 ? ` and ${i.inProgress - few.length} more` : ""];
	}

	const [dead, deadSoon] = current("Deaths in the last hour", 60000, { signal }, async () => {
		const deaths = (await call("event.list", { types: "instance.failed", since: new Date(now() - HOUR).toISOString(), limit: 50 }, signal)).events;
		return [deaths.length === 0 ? h("p", null, "None.") : plain(deaths.map(death))];
	});
	fill(root, h("h1", null, "Fleet"), summary, place, dead);

	function death(e) {
		const p = e.payload, became = h("div");
		return [instanceLink(p.id), ` died at ${clock(e.timestamp)}, last seen ${clock(p.lastSeen)}. ${count(p.tasksReassigned, "task")} went to others. `,
			p.tasksReassigned > 0 && button("What became of them", async () => {
				fill(became, loading());
				fill(became, await whatBecame(p.id, e.seq).catch((error) => failure(error, "the tasks")));
			}), became];
	}

	/** The tasks that an instance lost by its death, as they are now. @param {string} id @param {number} seq */
	async function whatBecame(id, seq) {
		const list = (await call("instance.history", { id, limit: 200, order: "desc" }, signal)).events;
		const ids = [...new Set(list.filter((e) => e.seq >= seq && e.payload.reason === "instance_failed").map((e) => String(e.payload.taskId)))].slice(0, 50);
		if (ids.length === 0) return notice("empty", "Its tasks are on their way back to the queue.");
		const answers = await calls(ids.map((task) => ["task.get", { id: task }]), signal);
		return h("ul", null, ids.map((task, n) => {
			const t = answers[n];
			return h("li", null, taskLink(task), " ", ...t instanceof CallError ? ["is gone"] : [badge(t.status), ...t.assignedTo ? [" at ", instanceLink(t.assignedTo)] : []]);
		}));
	}

	live.on(signal, (e) => /^(instance|leader|system)\./.test(e.type), soon);
	live.on(signal, (e) => e.type === "instance.failed", deadSoon);
}
