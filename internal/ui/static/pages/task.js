// One task: its fields, its history by attempt, and what can be done with it.

import { CallError, NOT_FOUND, call, may, mayFor, token } from "../lib/api.js";
import { badge, button, card, eventLink, fill, h, instanceLink, link, pairs } from "../lib/dom.js";
import { ago, clock, duration, moment, statusName } from "../lib/format.js";
import { write } from "../lib/json.js";
import { live, poll, throttled } from "../lib/live.js";
import { taskOf } from "../lib/stream.js";
import { story, traceLink } from "../parts/event-line.js";
import { jsonView } from "../parts/json-view.js";
import { failure, loading, notice, showHistory, toast } from "../parts/notice.js";
import * as actions from "../parts/task-actions.js";
import { go } from "../app.js";

/** @param {Place} place */
export function task({ root, id, signal, ready }) {
	const head = h("div", { class: "title" }, h("h1", null, id));
	const buttons = h("div", { class: "bar" });
	const fields = h("section", { class: "card" });
	const values = h("div", { class: "columns" });
	const timeline = card("History", loading());
	const crumbs = h("p", { class: "crumbs" }, link("/ui/tasks", "Tasks"));
	fill(root, crumbs, head, loading());

	let t;
	/** @type {string[]} */
	let instances = [];
	let shown = "";

	function show() {
		const now = write(t);
		if (now === shown) return;
		shown = now;
		fill(head, h("h1", null, t.id), badge(t.status, statusName(t.status)));
		const action = (label, act, fits, method, style) => may(method) && fits && button(label, act, style);
		const owned = t.assignedTo && !t.completedAt && mayFor("task.complete", t.assignedTo);
		fill(buttons,
			action("Complete…", () => actions.finish(t, false, refresh), owned, "task.complete", "primary"),
			action("Fail…", () => actions.finish(t, true, refresh), owned, "task.complete"),
			action("Release…", () => actions.release(id, refresh), owned, "task.unassign"),
			action("Assign…", () => actions.assign([id], instances, refresh), t.status === "pending" && !t.assignedTo, "task.assign"),
			action("Priority…", () => actions.prioritise([id], t.priority, refresh), !t.completedAt, "task.update"),
			action("Cancel…", () => actions.cancel([id], refresh), !t.completedAt, "task.cancel"),
			action("Retry…", () => actions.retry([id], refresh), /^(failed|cancelled)$/.test(t.status), "task.retry"),
			action("Delete…", () => actions.remove([id], () => go("/ui/tasks")), true, "task.delete", "danger"),
			button("Copy as curl", () => copyCurl(t)));
		fill(fields, h("p", { class: "text" }, t.text), pairs(["Priority", t.priority], ["Owner", t.assignedTo ? instanceLink(t.assignedTo) : "–"], ["Attempt", t.attempt],
			...[["Created", t.createdAt], ["Updated", t.updatedAt], ["Runs at", t.runAt], ["Finished", t.completedAt]].map(([name, at]) => ([name,
				at ? h("time", { datetime: at, title: ago(at) }, moment(at)) : "–"]))));
		fill(values, ...[["Progress", t.progress], ["Cancel", t.cancellation], ["Errors", t.errors[0] && t.errors], ["Metadata", t.metadata], ["Result", t.result], ["Error", t.error]]
			.map(([name, value]) => value != null && card(name, jsonView(value, name))));
		if (!root.contains(fields)) fill(root, crumbs, head, buttons, fields, values, timeline);
	}

	const refresh = throttled(300, signal, async () => {
		try {
			t = await call("task.get", { id }, signal);
			show();
		} catch (error) {
			if (signal.aborted) return;
			if (!(error instanceof CallError)) throw error;
			if (error.code === NOT_FOUND) {
				fill(root, crumbs, h("div", { class: "title" }, h("h1", null, id)),
					notice("empty", t ? "The task has been deleted." : "There is no such task.", "Finished tasks are kept for a week by default."), timeline);
				shown = "";
			} else if (!t) fill(root, h("h1", null, id), failure(error, "the task"));
		}
		ready();
		await history();
	});

	/** @type {Envelope[]} */
	let events = [];
	let next = "";
	// Events are only added, so the last page is enough after the first time.
	const history = () => showHistory(timeline, async () => {
		const page = await call("task.history", { id, limit: 200, ...(next && { cursor: next }) }, signal);
		events = events.concat(page.events.filter((e) => e.seq > (events.at(-1)?.seq ?? 0)));
		next = page.nextCursor ?? next;
		return byAttempt(page.nextCursor !== undefined);
	}).catch(() => {}); // is shown

	/** @param {boolean} more @returns {Child[]} */
	function byAttempt(more) {
		/** @type {{attempt: number, events: Envelope[]}[]} */
		const attempts = [];
		let attempt = 0;
		for (const e of events) {
			if (e.type === "task.claimed") attempt = e.payload.attempt;
			let last = attempts.at(-1);
			if (!last || last.attempt !== attempt) attempts.push(last = { attempt, events: [] });
			last.events.push(e);
		}
		if (attempts.length === 0) return [notice("empty", "No events are known.")];
		return [...attempts.map((a) => {
			const first = a.events[0], end = a.events.at(-1), worker = first?.payload.workerId;
			return h("div", { class: "attempt" }, h("h3", null, a.attempt === 0 ? "Before the first claim" : `Attempt ${a.attempt}`,
				h("small", null, ...a.attempt > 0 && worker ? [" at ", instanceLink(worker)] : [], first && end && first !== end ? `, ${duration(end.timestamp - first.timestamp)}` : "")),
			h("ol", { class: "timeline" }, a.events.map(item)));
		}), more && button("Show more", history)];
	}

	// The ID of a request tells a person nothing.
	const cause = (e) => {
		const seq = /^\d+-(\d+)$/.exec(e.cause)?.[1];
		return seq ? [", caused by ", eventLink(+seq, `event ${seq}`)] : [];
	};
	const item = (e) => h("li", { "data-type": e.type }, h("time", { datetime: new Date(e.timestamp).toISOString(), title: moment(e.timestamp) }, clock(e.timestamp)),
		h("div", null, h("span", { class: "type" }, e.type), " ", story(e), h("small", { class: "by" }, "by ", e.actor, ...cause(e), " ",
			traceLink(e.trace), " ", eventLink(e.seq, `event ${e.seq}`))));

	void refresh();
	poll(10000, signal, refresh);
	live.listen(signal, { reload: () => { events = []; next = ""; void refresh(); }, events: (batch) => { if (batch.some((e) => taskOf(e) === id || e.type === "system.flushed")) void refresh(); } });
	if (may("task.assign")) poll(30000, signal, async () => { instances = ((await call("system.get_state", {}, signal)).instances ?? []).map((i) => i.id); });
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
