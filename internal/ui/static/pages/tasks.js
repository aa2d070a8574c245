// The list of tasks: filters and order in the address, kept current, and actions on many at once.

import { CallError, call, calls, may } from "../lib/api.js";
import { badge, button, fill, find, h, instanceLink, keyed, link, taskLink, text, typing } from "../lib/dom.js";
import { ago, clock, count, moment, number, statusName } from "../lib/format.js";
import { eachSecond, live, poll, throttled } from "../lib/live.js";
import { taskOf } from "../lib/stream.js";
import { filters } from "../parts/filters.js";
import { failure, loading, notice } from "../parts/notice.js";
import * as actions from "../parts/task-actions.js";

const PAGE = 50;
const STATUSES = ["scheduled", "blocked", "pending", "in_progress", "completed", "failed", "cancelled"];
// Name, heading and orderBy.
const columns = [["id", "Task", ""], ["text", "Text", ""], ["status", "Status", "status"], ["priority", "Priority", "priority"],
	["owner", "Owner", ""], ["claims", "Attempt", ""], ["created", "Created", "createdAt"], ["updated", "Updated", "updatedAt"]];

/** @param {Place} place */
export function tasks({ root, query, signal, ready }) {
	const status = query.get("status") ?? "";
	const orderBy = query.get("orderBy") ?? "createdAt", order = query.get("order") === "asc" ? "asc" : "desc";
	const offset = Math.max(0, Number(query.get("offset")) || 0);
	/** @type {Record<string, unknown>} */
	const filter = {};
	for (const [name, param] of [["owner", "assignedTo"], ["role", "role"], ["text", "text"]]) {
		const value = query.get(name);
		if (value) filter[param] = value;
	}
	if (query.get("priority")) filter.priority = Number(query.get("priority"));

	/** The address with other values. @param {Record<string, string>} values */
	const address = (values) => {
		const next = new URLSearchParams(query);
		next.delete("offset");
		for (const [name, value] of Object.entries(values)) {
			if (value) next.set(name, value);
			else next.delete(name);
		}
		const q = next.toString();
		return `/ui/tasks${q ? "?" + q : ""}`;
	};

	const tabs = h("nav", { class: "tabs", "aria-label": "Status" }, ["", ...STATUSES].map((s) => h("a", {
		href: address({ status: s }), "aria-current": s === status ? "true" : null, "data-status": s,
	}, s ? statusName(s) : "All", " ", h("small", { class: "count" }))));
	const form = filters("/ui/tasks", query, [["text", "Text"], ["owner", "Owner"], ["role", "Role"], ["priority", "Priority"]]);

	/** @type {Set<string>} */
	const chosen = new Set();
	/** @type {any[]} */
	let rows = [];
	/** @type {string[]} */
	let instances = [];
	const all = h("input", { type: "checkbox", "aria-label": "Choose all tasks on this page", onchange: () => {
		for (const t of rows) if (all.checked) chosen.add(t.id); else chosen.delete(t.id);
		showChosen();
	} });
	const bar = h("div", { class: "bar", role: "group", "aria-label": "With the chosen tasks", hidden: true });
	const changes = may("task.update") || may("task.delete");
	const body = h("tbody");
	const table = h("table", { class: "tasks" }, h("thead", null, h("tr", null, changes && h("th", { scope: "col" }, all),
		columns.map(([name, heading, by]) => h("th", { scope: "col", class: name, "aria-sort": by && by === orderBy ? (order === "asc" ? "ascending" : "descending") : null },
			by ? link(address({ orderBy: by, order: by === orderBy && order === "desc" ? "asc" : "desc" }), heading) : heading)))), body);
	const place = h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": "Tasks" });
	const pages = h("nav", { class: "pages", "aria-label": "Pages of the list" });
	const behind = h("small");
	fill(root, h("div", { class: "title" }, h("h1", null, "Tasks"), behind,
		may("task.create") && button("Create a task", () => actions.create(refresh), "primary")), tabs, form, bar, place, pages);
	fill(place, loading());

	const again = () => {
		chosen.clear();
		showChosen();
		refresh();
	};
	function showChosen() {
		for (const row of body.children) {
			const box = row.querySelector("input");
			if (box) box.checked = chosen.has(/** @type {any} */ (row).dataset.key);
		}
		all.checked = rows.length > 0 && rows.every((t) => chosen.has(t.id));
		all.indeterminate = !all.checked && chosen.size > 0;
		bar.hidden = chosen.size === 0;
		const ids = [...chosen];
		fill(bar, h("strong", null, `${count(ids.length, "task")} chosen`),
			may("task.assign") && button("Assign…", () => actions.assign(ids, instances, again)),
			may("task.update") && button("Priority…", () => actions.prioritise(ids, 50, again)),
			may("task.delete") && button("Delete…", () => actions.remove(ids, again), "danger"),
			button("Choose none", () => { chosen.clear(); showChosen(); }));
	}

	const makeRow = (t) => h("tr", null, changes && h("td", null, h("input", { type: "checkbox", "aria-label": `Choose task ${t.id}`, onchange: (e) => {
		if (e.target.checked) chosen.add(t.id);
		else chosen.delete(t.id);
		showChosen();
	} })), h("td", { class: "id" }, taskLink(t.id)), ...columns.slice(1).map(([name]) => h("td", { class: name })));
	const updateRow = (row, t) => {
		const cell = (name) => find(row, `td.${name}`);
		const now = [t.updatedAt, t.status, t.assignedTo, t.attempt, t.priority].join();
		if (row.dataset.now === now) return;
		row.dataset.now = now;
		text(cell("text"), t.text);
		fill(cell("status"), badge(t.status, statusName(t.status)));
		text(cell("priority"), t.priority);
		fill(cell("owner"), t.assignedTo ? instanceLink(t.assignedTo) : "–");
		text(cell("claims"), t.attempt);
		fill(cell("created"), h("time", { datetime: t.createdAt, title: moment(t.createdAt) }, clock(t.createdAt)));
		fill(cell("updated"), h("time", { datetime: t.updatedAt, title: moment(t.updatedAt) }, ago(t.updatedAt)));
	};

	const rest = ["", ...STATUSES].filter((s) => s !== status);
	const refresh = throttled(700, signal, async () => {
		try {
			const answers = await calls([
				["task.list", { ...filter, ...(status && { status }), orderBy, order, limit: PAGE, offset }],
				...rest.map((s) => (["task.list", { ...filter, ...(s && { status: s }), limit: 1 }])),
			], signal);
			const [page, ...others] = answers;
			if (page instanceof CallError) throw page;
			rows = page.tasks;
			live.change({ behindMs: page.behind?.ms ?? 0 });
			text(behind, page.behind ? `up to ${count(page.behind.events, "event")} behind` : "");
			for (const a of tabs.querySelectorAll("a")) {
				const i = rest.indexOf(String(a.dataset.status));
				const total = i < 0 ? page.totalCount : others[i]?.totalCount;
				if (total !== undefined) text(find(a, ".count"), number(total));
			}
			if (rows.length === 0) {
				fill(place, offset > 0 ? notice("empty", "This page is empty.", link(address({}), "Go to the first page"))
					: Object.keys(filter).length > 0 || status ? notice("empty", "No task matches.", link("/ui/tasks", "Show all tasks"))
						: notice("empty", "There is no task yet.", "Create one here, or with ", h("code", null, "claudebench call task.create '{\"text\":\"…\"}'"), "."));
			} else {
				keyed(body, rows, (t) => t.id, makeRow, updateRow);
				if (!place.contains(table)) fill(place, table);
			}
			for (const id of chosen) if (!rows.some((t) => t.id === id)) chosen.delete(id);
			showChosen();
			fill(pages, h("span", null, rows.length > 0 ? `${number(offset + 1)} to ${number(offset + rows.length)} of ${number(page.totalCount)}` : ""),
				offset > 0 && h("a", { href: address({ offset: offset > PAGE ? String(offset - PAGE) : "" }), rel: "prev" }, "Previous"),
				page.hasMore && h("a", { href: address({ offset: String(offset + PAGE) }), rel: "next" }, "Next"));
		} catch (error) {
			if (signal.aborted) return;
			if (!(error instanceof CallError)) throw error;
			const wait = error.data?.retryAfterMs;
			if (wait) text(behind, error.reason);
			if (rows.length === 0 || error.code !== 0 && !wait) fill(place, error.code === -32603
				? notice("error", "Tasks cannot be listed.", `${error.reason}. The list comes from Postgres; tasks can still be created and claimed.`) : failure(error, "the tasks"));
			ready();
			return wait;
		}
		ready();
	});
	poll(10000, signal, refresh);
	live.listen(signal, { reload: refresh, events: (batch) => { if (batch.some((e) => taskOf(e) !== "" || e.type === "system.flushed")) void refresh(); } });
	poll(30000, signal, async () => { instances = ((await call("system.get_state", {}, signal)).instances ?? []).map((i) => i.id); });
	eachSecond(signal, () => {
		for (const time of /** @type {NodeListOf<HTMLTimeElement>} */ (body.querySelectorAll("td.updated time"))) text(time, ago(time.dateTime));
	});

	document.addEventListener("keydown", (event) => {
		if (typing(event) && !body.contains(/** @type {Node} */ (event.target)) || event.metaKey || event.ctrlKey || event.altKey) return;
		const at = document.activeElement?.closest("tr");
		const list = [...body.children];
		const i = at ? list.indexOf(at) : -1;
		if (event.key === "j" || event.key === "k") {
			const next = /** @type {HTMLElement | undefined} */ (list[event.key === "j" ? Math.min(i + 1, list.length - 1) : Math.max(i - 1, 0)]);
			next?.querySelector("a")?.focus();
		} else if (event.key === "x" && at) at.querySelector("input")?.click();
		else return;
		event.preventDefault();
	}, { signal });
}
