// One instance: its state, its tasks and its history.

import { call, mayFor } from "../lib/api.js";
import { badge, button, crumbs, fill, h, link, pairs, plain, since, taskLink, title } from "../lib/dom.js";
import { moment } from "../lib/format.js";
import { live } from "../lib/live.js";
import { instancesOf } from "../lib/stream.js";
import { line } from "../parts/event-line.js";
import { jsonView } from "../parts/json-view.js";
import { current, notice } from "../parts/notice.js";
import { load, remaining, unregister } from "./fleet.js";

/** @param {Place} place */
export function instance({ root, id, signal, ready }) {
	const head = title(id);
	const [state, soon] = current("State", 5000, { signal, ready }, async () => {
		const answer = await call("system.get_state", {}, signal);
		const i = (answer.instances ?? []).find((x) => x.id === id);
		fill(head, h("h1", null, id), i && badge(i.status.toLowerCase()), i?.isLeader && h("span", null, "★ leader"),
			i && mayFor("system.unregister", id) && button("Unregister…", () => unregister(id, soon), "danger"));
		if (!i) return [notice("empty", "Not alive.", answer.totals ? "Or it is not among the 200 instances that were seen last." : "It is not registered, or was silent for too long.")];
		return [pairs(["Roles", i.roles.join(", ") || "none"], ["Registered", moment(i.registeredAt)], ["Last seen", since(i.lastSeen)],
			["Time left", remaining(i)], ["Load", load(i)]), i.metadata && h("h3", null, "Metadata"), i.metadata && jsonView(i.metadata, "Metadata")];
	});
	const [tasks, tasksSoon] = current("Tasks", 10000, { signal }, async () => {
		const page = await call("task.list", { assignedTo: id, orderBy: "updatedAt", limit: 20 }, signal);
		return [page.tasks.length === 0 ? h("p", null, "It owns no task.") : plain(page.tasks.map((t) => [taskLink(t.id), " ", badge(t.status), " ", t.text])),
			page.hasMore && link(`/ui/tasks?owner=${encodeURIComponent(id)}`, `All ${page.totalCount}`)];
	});
	const [history, historySoon] = current("History", 30000, { signal }, async () => {
		const list = (await call("instance.history", { id, limit: 100, order: "desc" }, signal)).events;
		return [h("p", null, h("small", null, "The newest first. ", link(`/ui/events?instance=${encodeURIComponent(id)}`, "Follow its events"))),
			list.length === 0 ? h("p", null, "No events are known.") : h("ol", { class: "lines" }, list.map(line))];
	});
	fill(root, crumbs("/ui/fleet", "Fleet"), head, state, tasks, history);
	live.on(signal, (e) => instancesOf(e).includes(id), soon, tasksSoon, historySoon);
}
