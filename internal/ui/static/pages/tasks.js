// The list of tasks: filters and order in the address, kept current, and actions on many at once.

import { CallError, OFFLINE, calls, may } from "../lib/api.js";
import { badge, button, fill, find, h, instanceLink, link, since, taskLink, text, title, typing, when } from "../lib/dom.js";
import { count, number, statusName } from "../lib/format.js";
import { live, poll } from "../lib/live.js";
import { taskOf } from "../lib/stream.js";
import { address, filters } from "../parts/filters.js";
import { failure, notice } from "../parts/notice.js";
import { rows } from "../parts/rows.js";
import * as actions from "../parts/task-actions.js";

const PAGE = 50;
const STATUSES = ["scheduled", "blocked", "pending", "in_progress", "completed", "failed", "cancelled"];
/** @type {[name: string, heading: string, content: (t: any) => Child, orderBy?: string][]} */
const columns = [["id", "Task", (t) => taskLink(t.id)], ["text", "Text", (t) => t.text], ["", "Status", (t) => badge(t.status), "status"], ["", "Priority", (t) => t.priority, "priority"],
	["owner", "Owner", (t) => t.assignedTo ? instanceLink(t.assignedTo) : "–"], ["", "Attempt", (t) => t.attempt], ["", "Created", (t) => when(t.createdAt), "createdAt"], ["", "Updated", (t) => since(t.updatedAt), "updatedAt"]];

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

	/** @param {Record<string, string>} values */
	const here = (values) => address("/ui/tasks", query, values);

	const tabs = h("nav", { class: "tabs", "aria-label": "Status" }, ["", ...STATUSES].map((s) => h("a", {
		href: here({ status: s }), "aria-current": s === status ? "true" : null, "data-status": s,
	}, s ? statusName(s) : "All", " ", h("small"))));
	const form = filters("/ui/tasks", query, [["text", "Text"], ["owner", "Owner"], ["role", "Role"], ["priority", "Priority"]]);

	/** @type {Set<string>} */
	const chosen = new Set();
	/** @type {any[]} */
	let list = [];
	const all = h("input", { type: "checkbox", "aria-label": "Choose all tasks on this page", onchange: () => {
		for (const t of list) if (all.checked) chosen.add(t.id); else chosen.delete(t.id);
		showChosen();
	} });
	const bar = h("div", { class: "bar", role: "group", "aria-label": "With the chosen tasks", hidden: true });
	const { place, body, show } = rows("Tasks", [
		(may("task.update") || may("task.delete")) && ["", all, (t) => h("input", { type: "checkbox", "aria-label": `Choose task ${t.id}`, onchange: (e) => {
			if (e.target.checked) chosen.add(t.id);
			else chosen.delete(t.id);
			showChosen();
		} })],
		...columns.map(([name, heading, content, by]) => /** @type {Column} */ ([name, by ? link(here({ orderBy: by, order: by === orderBy && order === "desc" ? "asc" : "desc" }), heading) : heading, content,
			by && by === orderBy ? (order === "asc" ? "ascending" : "descending") : null])),
	]);
	const pages = h("nav", { class: "pages", "aria-label": "Pages of the list" });
	const behind = h("small");
	fill(root, title("Tasks", behind, may("task.create") && button("Create a task", () => actions.create(refresh), "primary")), tabs, form, bar, place, pages);

	const again = () => {
		chosen.clear();
		showChosen();
		refresh();
	};
	function showChosen() {
		for (const row of body.rows) {
			const box = row.querySelector("input");
			if (box) box.checked = chosen.has(String(row.dataset.key));
		}
		all.checked = list.length > 0 && list.every((t) => chosen.has(t.id));
		all.indeterminate = !all.checked && chosen.size > 0;
		bar.hidden = chosen.size === 0;
		const ids = [...chosen];
		fill(bar, h("strong", null, `${count(ids.length, "task")} chosen`),
			may("task.assign") && button("Assign…", () => actions.assign(ids, again)),
			may("task.update") && button("Priority…", () => actions.prioritise(ids, 50, again)),
			may("task.cancel") && button("Cancel…", () => actions.cancel(ids, again)),
			may("task.retry") && button("Retry…", () => actions.retry(ids, again)),
			may("task.delete") && button("Delete…", () => actions.remove(ids, again), "danger"),
			button("Choose none", () => { chosen.clear(); showChosen(); }));
	}

	const rest = ["", ...STATUSES].filter((s) => s !== status);
	const refresh = poll(10000, { signal, ready }, async () => {
		const [page, ...others] = await calls([
			["task.list", { ...filter, ...(status && { status }), orderBy, order, limit: PAGE, offset }],
			...rest.map((s) => (["task.list", { ...filter, ...(s && { status: s }), limit: 1 }])),
		], signal);
		if (page instanceof CallError) throw page;
		list = page.tasks;
		live.change({ behindMs: page.behind?.ms ?? 0 });
		text(behind, page.behind ? `up to ${count(page.behind.events, "event")} behind` : "");
		for (const a of tabs.querySelectorAll("a")) {
			const i = rest.indexOf(String(a.dataset.status));
			const total = i < 0 ? page.totalCount : others[i]?.totalCount;
			if (total !== undefined) text(find(a, "small"), number(total));
		}
		show(list, offset > 0 ? notice("empty", "This page is empty.", link(here({}), "Go to the first page"))
			: Object.keys(filter).length > 0 || status ? notice("empty", "No task matches.", link("/ui/tasks", "Show all tasks"))
				: notice("empty", "There is no task yet.", "Create one here, or with ", h("code", null, "claudebench call task.create '{\"text\":\"…\"}'"), "."));
		for (const id of chosen) if (!list.some((t) => t.id === id)) chosen.delete(id);
		showChosen();
		fill(pages, h("span", null, list.length > 0 ? `${number(offset + 1)} to ${number(offset + list.length)} of ${number(page.totalCount)}` : ""),
			offset > 0 && h("a", { href: here({ offset: offset > PAGE ? String(offset - PAGE) : "" }), rel: "prev" }, "Previous"),
			page.hasMore && h("a", { href: here({ offset: String(offset + PAGE) }), rel: "next" }, "Next"));
	}, (error) => {
		const limited = error.data?.retryAfterMs;
		if (limited) text(behind, error.reason);
		if (list.length === 0 || error.code !== OFFLINE && !limited) fill(place, error.code === -32603
			? notice("error", "Tasks cannot be listed.", `${error.reason}. The list comes from Postgres; tasks can still be created and claimed.`) : failure(error, "the tasks"));
	}, 700);
	live.on(signal, (e) => taskOf(e) !== "" || e.type === "system.flushed", refresh);

	document.addEventListener("keydown", (event) => {
		if (typing(event) && !body.contains(/** @type {Node} */ (event.target)) || event.metaKey || event.ctrlKey || event.altKey) return;
		const at = document.activeElement?.closest("tr");
		const all = [...body.rows];
		const i = at ? all.indexOf(at) : -1;
		if (event.key === "j" || event.key === "k") {
			const next = /** @type {HTMLElement | undefined} */ (all[event.key === "j" ? Math.min(i + 1, all.length - 1) : Math.max(i - 1, 0)]);
			next?.querySelector("a")?.focus();
		} else if (event.key === "x" && at) at.querySelector("input")?.click();
		else return;
		event.preventDefault();
	}, { signal });
}
