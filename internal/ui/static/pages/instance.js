// One instance: its state, its tasks and its history.

import { call, mayFor } from "../lib/api.js";
import { badge, button, card, fill, h, link, pairs, put, taskLink } from "../lib/dom.js";
import { ago, moment, statusName } from "../lib/format.js";
import { eachSecond, live, poll } from "../lib/live.js";
import { instancesOf } from "../lib/stream.js";
import { line } from "../parts/event-line.js";
import { jsonView } from "../parts/json-view.js";
import { failure, loading, notice, showHistory } from "../parts/notice.js";
import { load, remaining, unregister } from "./fleet.js";

/** @param {Place} place */
export function instance({ root, id, signal, ready }) {
	const head = h("div", { class: "title" }, h("h1", null, id)), state = card("State", loading()), tasks = card("Tasks", loading()), history = card("History", loading());
	fill(root, h("p", { class: "crumbs" }, link("/ui/fleet", "Fleet")), head, state, tasks, history);
	/** @type {(() => void) | undefined} */
	let tick;

	const soon = poll(5000, signal, async () => {
		const answer = await call("system.get_state", {}, signal);
		const i = (answer.instances ?? []).find((x) => x.id === id);
		tick = undefined;
		if (i) {
			const left = remaining(i);
			tick = left.show;
			fill(head, h("h1", null, id), badge(i.status.toLowerCase(), i.status === "BUSY" ? "Busy" : "Idle"), i.isLeader && h("span", null, "★ leader"),
				mayFor("system.unregister", id) && button("Unregister…", () => unregister(id, soon), "danger"));
			put(state, pairs(["Roles", i.roles.join(", ") || "none"], ["Registered", moment(i.registeredAt)], ["Last seen", ago(i.lastSeen)],
				["Time left", left.element], ["Load", load(i)]), i.metadata && h("h3", null, "Metadata"), i.metadata && jsonView(i.metadata, "Metadata"));
		} else {
			fill(head, h("h1", null, id));
			put(state, notice("empty", "Not alive.", answer.totals ? "Or it is not among the 200 instances that were seen last." : "It is not registered, or was silent for too long."));
		}
		ready();
	}, (error) => {
		put(state, failure(error, "the instance"));
		ready();
	});
	const tasksSoon = poll(10000, signal, async () => {
		const page = await call("task.list", { assignedTo: id, orderBy: "updatedAt", limit: 20 }, signal);
		put(tasks, page.tasks.length === 0 ? h("p", null, "It owns no task.") : h("ul", { class: "plain" }, page.tasks.map((t) => h("li", null,
			taskLink(t.id), " ", badge(t.status, statusName(t.status)), " ", t.text))), page.hasMore && link(`/ui/tasks?owner=${encodeURIComponent(id)}`, `All ${page.totalCount}`));
	}, (error) => put(tasks, failure(error, "the tasks")));
	const historySoon = poll(30000, signal, () => showHistory(history, async () => {
		const list = (await call("instance.history", { id, limit: 100, order: "desc" }, signal)).events;
		return [h("p", null, h("small", null, "The newest first. ", link(`/ui/events?instance=${encodeURIComponent(id)}`, "Follow its events"))),
			list.length === 0 ? h("p", null, "No events are known.") : h("ol", { class: "lines" }, list.map(line))];
	}));
	eachSecond(signal, () => tick?.());
	live.listen(signal, { reload: soon, events: (batch) => {
		if (batch.some((e) => instancesOf(e).includes(id))) for (const again of [soon, tasksSoon, historySoon]) again();
	} });
}
