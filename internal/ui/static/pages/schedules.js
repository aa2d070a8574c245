// The schedules, which create tasks by cron, and the limits of tasks that run at once.

import { call, may } from "../lib/api.js";
import { badge, button, fill, h, link, taskLink, text, title, when } from "../lib/dom.js";
import { count, cut, number } from "../lib/format.js";
import { write } from "../lib/json.js";
import { live, poll } from "../lib/live.js";
import { ask } from "../parts/dialog.js";
import { notice } from "../parts/notice.js";
import { action, rows } from "../parts/rows.js";

const PATH = "/ui/schedules";

/** @param {Place} place */
export function schedules({ root, query, signal, ready }) {
	const cursor = query.get("cursor"), total = h("small"), pages = h("nav", { class: "pages", "aria-label": "Pages of the list" });
	const list = rows("Schedules", [
		["text", "Schedule", (s) => [s.id, " ", s.paused && badge("paused")]], ["", "Cron", (s) => h("code", null, s.cron)], ["", "Time zone", (s) => s.timezone],
		["text", "Task", (s) => cut(s.task.text, 120)], ["", "Next tick", (s) => s.nextTick ? when(s.nextTick) : "–"],
		["", "Last tick", (s) => s.lastTick ? [when(s.lastTick), " ", s.lastError ? h("span", { class: "bad" }, s.lastError.reason ?? write(s.lastError)) : s.lastTask && taskLink(s.lastTask)] : "–"],
		may("schedule.put") && action((s) => [act(s.paused ? "Resume" : "Pause", s.id, () => pause(s.id, !s.paused)), " ", act("Delete", s.id, () => remove(`the schedule ${s.id}`, "The tasks that it has made stay.", "schedule.delete", { id: s.id }))]),
	]);
	const limits = rows("Limits", [
		["text", "Key", (l) => l.key], ["", "At most", (l) => number(l.concurrent)], ["", "Pending or in progress", (l) => number(l.running)], ["", "Blocked", (l) => number(l.waiting)],
		may("limit.set") && action((l) => [act("Change", l.key, () => setLimit(l.key, l.concurrent)), " ", act("Delete", l.key, () => remove(`the limit of ${l.key}`, "The tasks of its key go on.", "limit.delete", { key: l.key }))]),
	]);
	fill(root, title("Schedules", total), list.place, pages, h("div", { class: "title" }, h("h2", null, "Limits"), may("limit.set") && button("Set a limit…", () => setLimit())), limits.place);

	const soon = poll(10000, { signal, ready }, async () => {
		const page = await call("schedule.list", cursor ? { cursor } : {}, signal);
		list.show(page.schedules, notice("empty", cursor ? "This page is empty." : "There is no schedule yet.", "Make one with ", h("code", null, "claudebench call schedule.put"), "."));
		text(total, count(page.total, "schedule"));
		fill(pages, cursor && link(PATH, "First page"), page.nextCursor && link(`${PATH}?cursor=${encodeURIComponent(page.nextCursor)}`, "Next"));
	}, list.failed("the schedules"), 1000);
	const limitsSoon = poll(10000, { signal }, async () => limits.show((await call("limit.list", {}, signal)).limits.map((l) => ({ id: l.key, ...l })),
		notice("empty", "There is no limit.")), limits.failed("the limits"), 1000);
	live.on(signal, (e) => /^(schedule|system)\./.test(e.type), soon);
	live.on(signal, (e) => /^(limit|task|system)\./.test(e.type), limitsSoon);

	/** @param {string} what @param {string} id @param {() => void} run */
	const act = (what, id, run) => button(`${what}…`, run, "", { "aria-label": `${what} ${id}` });

	/** @param {string} id @param {boolean} paused */
	const pause = (id, paused) => ask({
		title: `${paused ? "Pause" : "Resume"} ${id}?`, action: paused ? "Pause" : "Resume",
		text: `${paused ? "It makes no tasks until it is resumed." : "It goes on with its next tick from now."} From now on its tasks belong to you.`,
		async run() {
			const { cron, timezone, task, catchUp } = await call("schedule.get", { id });
			await call("schedule.put", { id, cron, timezone, task, catchUp, paused });
			return `${id} is ${paused ? "paused" : "resumed"}.`;
		},
	}, soon);

	/** @param {string} [key] @param {number} [most] */
	const setLimit = (key, most) => ask({
		title: "Set a limit", action: "Set", text: "Only so many tasks with the key are pending or in progress at once. The others are blocked.",
		fields: [{ name: "key", label: "Key", value: key, required: true, hint: "The limitKey of the tasks" },
			{ name: "most", label: "At most", kind: "number", value: most?.toString(), required: true, attributes: { min: 0 } }],
		run: (v) => call("limit.set", { key: v.key, concurrent: Number(v.most) }).then(() => "The limit is set."),
	}, limitsSoon);

	/** @param {string} what @param {string} text @param {string} method @param {object} params */
	const remove = (what, text, method, params) => ask({ title: `Delete ${what}?`, text, action: "Delete", danger: true, run: () => call(method, params).then(() => `Deleted ${what}.`) }, () => {
		soon();
		limitsSoon();
	});
}
