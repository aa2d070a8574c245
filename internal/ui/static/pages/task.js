// One task: its fields, its history by attempt, and what can be done with it.

import { NOT_FOUND, call, may, mayFor, token } from "../lib/api.js";
import { badge, button, card, crumbs, eventLink, fill, h, instanceLink, pairs, title, when } from "../lib/dom.js";
import { ago, duration, moment } from "../lib/format.js";
import { write } from "../lib/json.js";
import { live, poll } from "../lib/live.js";
import { taskOf } from "../lib/stream.js";
import { story, traceLink } from "../parts/event-line.js";
import { jsonView } from "../parts/json-view.js";
import { current, failure, loading, notice, toast } from "../parts/notice.js";
import * as actions from "../parts/task-actions.js";
import { go } from "../app.js";

/** @param {Place} place */
export function task({ root, id, signal, ready }) {
	const head = title(id);
	const buttons = h("div", { class: "bar" });
	const fields = h("section", { class: "card" });
	const values = h("div", { class: "columns" });
	const way = crumbs("/ui/tasks", "Tasks");
	fill(root, way, head, loading());

	let t;
	let shown = "";

	function show() {
		const now = write(t);
		if (now === shown) return;
		shown = now;
		fill(head, h("h1", null, t.id), badge(t.status));
		const action = (label, act, fits, method, style) => may(method) && fits && button(label, act, style);
		const owned = t.assignedTo && !t.completedAt && mayFor("task.complete", t.assignedTo);
		fill(buttons,
			action("Complete…", () => actions.finish(t, false, refresh), owned, "task.complete", "primary"),
			action("Fail…", () => actions.finish(t, true, refresh), owned, "task.complete"),
			action("Release…", () => actions.release(id, refresh), owned, "task.unassign"),
			action("Assign…", () => actions.assign([id], refresh), t.status === "pending" && !t.assignedTo, "task.assign"),
			action("Priority…", () => actions.prioritise([id], t.priority, refresh), !t.completedAt, "task.update"),
			action("Cancel…", () => actions.cancel([id], refresh), !t.completedAt, "task.cancel"),
			action("Retry…", () => actions.retry([id], refresh), /^(failed|cancelled)$/.test(t.status), "task.retry"),
			action("Delete…", () => actions.remove([id], () => go("/ui/tasks")), true, "task.delete", "danger"),
			button("Copy as curl", () => copyCurl(t)));
		fill(fields, h("p", { class: "text" }, t.text), pairs(["Priority", t.priority], ["Owner", t.assignedTo ? instanceLink(t.assignedTo) : "–"], ["Attempt", t.attempt],
			...[["Created", t.createdAt], ["Updated", t.updatedAt], ["Runs at", t.runAt], ["Finished", t.completedAt]].map(([name, at]) => [name, at ? when(at, moment, ago) : "–"])));
		fill(values, ...[["Progress", t.progress], ["Cancel", t.cancellation], ["Errors", t.errors[0] && t.errors], ["Metadata", t.metadata], ["Result", t.result], ["Error", t.error]]
			.map(([name, value]) => value != null && card(name, jsonView(value, name))));
		if (!root.contains(fields)) fill(root, way, head, buttons, fields, values, timeline);
	}

	const soon = poll(10000, { signal, ready }, async () => {
		t = await call("task.get", { id }, signal);
		show();
	}, (error) => {
		if (error.code === NOT_FOUND) {
			fill(root, way, title(id), notice("empty", t ? "The task has been deleted." : "There is no such task.", "Finished tasks are kept for a week by default."), timeline);
			shown = "";
		} else if (!t) fill(root, h("h1", null, id), failure(error, "the task"));
	}, 300);

	/** @type {Envelope[]} */
	let events = [];
	let next = "";
	// Events are only added, so the last page is enough after the first time.
	const [timeline, history] = current("History", 10000, { signal }, async () => {
		const page = await call("task.history", { id, limit: 200, ...(next && { cursor: next }) }, signal);
		events = events.concat(page.events.filter((e) => e.seq > (events.at(-1)?.seq ?? 0)));
		next = page.nextCursor ?? next;
		return byAttempt(page.nextCursor !== undefined);
	}, 300);
	function refresh() {
		soon();
		history();
	}

	/** @param {boolean} more @returns {Child[]} */
	function byAttempt(more) {
		if (events.length === 0) return [notice("empty", "No events are known.")];
		let attempt = 0;
		const attempts = Map.groupBy(events, (e) => e.type === "task.claimed" ? attempt = e.payload.attempt : attempt);
		return [...[...attempts].map(([n, list]) => {
			const first = list[0], end = list.at(-1), worker = first?.payload.workerId;
			return h("div", { class: "attempt" }, h("h3", null, n === 0 ? "Before the first claim" : `Attempt ${n}`,
				h("small", null, ...n > 0 && worker ? [" at ", instanceLink(worker)] : [], first && end && first !== end ? `, ${duration(end.timestamp - first.timestamp)}` : "")),
			h("ol", { class: "timeline" }, list.map(item)));
		}), more && button("Show more", history)];
	}

	// The ID of a request tells a person nothing.
	const cause = (e) => {
		const seq = /^\d+-(\d+)$/.exec(e.cause)?.[1];
		return seq ? [", caused by ", eventLink(+seq, `event ${seq}`)] : [];
	};
	const item = (e) => h("li", { "data-type": e.type }, when(e.timestamp),
		h("div", null, h("span", { class: "type" }, e.type), " ", story(e), h("small", { class: "by" }, "by ", e.actor, ...cause(e), " ",
			traceLink(e.trace), " ", eventLink(e.seq, `event ${e.seq}`))));

	live.listen(signal, { reload: () => { events = []; next = ""; refresh(); }, events: (batch) => { if (batch.some((e) => taskOf(e) === id || e.type === "system.flushed")) refresh(); } });
}

/** Copies a call that creates the same task. */
async function copyCurl(t) {
	const params = { text: t.text, priority: t.priority, ...(t.metadata && { metadata: t.metadata }) };
	const body = write({ jsonrpc: "2.0", id: 1, method: "task.create", params }).replaceAll("'", "'\\''");
	const secret = token() ? ` -H "Authorization: Bearer $CB_TOKEN"` : "";
	const command = `curl -s ${location.origin}/rpc -H 'Content-Type: application/json'${secret} -d '${body}'`;
	try {
		await navigator.clipboard.writeText(command);
		toast("The command is in the clipboard. It creates the same task again.");
	} catch {
		toast(`The browser does not let the page copy: ${command}`, true);
	}
}
