// The log, live: filters in the address, a pause without a loss, one event by its sequence number, export.

import { call } from "../lib/api.js";
import { button, eventLink, fill, find, h, keyed, link, text } from "../lib/dom.js";
import { count, number } from "../lib/format.js";
import { live, poll, whileSeen } from "../lib/live.js";
import { Stream } from "../lib/stream.js";
import { ask } from "../parts/dialog.js";
import { details, line } from "../parts/event-line.js";
import { filters } from "../parts/filters.js";
import { failure, loading, notice, toast } from "../parts/notice.js";

/** How many events the page keeps, and how many of them are drawn. */
const KEPT = 2000, DRAWN = 100;
/** How many events an export has at most. */
const EXPORTED = 200000;
/** After how long a silence an export is whole: the coordinator sends a sign of life each 15 s. */
const SILENT = 16000;

/** @type {Record<string, string>} */
const reasons = {
	flushed: "were deleted by a flush", trimmed: "were removed from the beginning of the log", missing: "are missing from the log. Run verify",
	rolled_back: "were lost by Redis; others have their numbers now", malformed: "cannot be read",
};

/** @param {Place} place */
export function events({ root, query, signal, ready }) {
	const seq = query.get("seq");
	if (seq) {
		one(root, seq, signal, ready);
		return;
	}
	/** @type {Record<string, string>} */
	const filter = {};
	for (const name of ["types", "task", "instance"]) {
		const value = query.get(name);
		if (value) filter[name] = name === "types" ? value.replaceAll(" ", "") : value;
	}
	const state = h("span", { role: "status" });
	const list = h("ol", { class: "lines log" });
	const more = h("p", { class: "more" });
	const form = filters("/ui/events", query, [["types", "Types", "task.*, instance.failed"], ["task", "Task", "t-6"], ["instance", "Instance"]]);
	fill(root, h("div", { class: "title" }, h("h1", null, "Events"), state, button("Export…", () => exportLines(filter))), form, h("div", { class: "content" }, loading("Waiting for events…")), more);
	const content = find(root, ".content");

	/** @type {(Envelope | Missing)[]} newest first */
	let kept = [];
	let seen = 0, limit = DRAWN, recent = false;

	const draw = () => {
		if (kept.length === 0) {
			fill(content, notice("empty", "No events yet.", recent ? "New events appear here as they happen." : ""));
			return;
		}
		keyed(list, kept.slice(0, limit), (e) => ("gap" in e ? e.id : String(e.seq)), make);
		if (!content.contains(list)) fill(content, list);
		text(state, seen > 0 ? `${count(seen, "new event")}` : "");
		fill(more, kept.length > limit && button("Show older events", () => { limit += DRAWN; draw(); }),
			seen > KEPT && h("small", null, `The page keeps the newest ${number(KEPT)}.`));
	};
	/** @param {Envelope | Missing} e */
	const make = (e) => {
		if ("gap" in e) {
			return h("li", { class: "line gap", role: "listitem" }, `Events ${number(e.gap.from)} to ${number(e.gap.to)} ${reasons[e.gap.reason] ?? e.gap.reason}.`);
		}
		const item = line(e);
		const id = `e${e.seq}`;
		const toggle = h("button", { type: "button", class: "icon", "aria-expanded": "false", "aria-controls": id, "aria-label": `Payload of event ${e.seq}`, onclick: () => {
			const shown = item.querySelector(".details");
			if (shown) shown.remove();
			else {
				const d = details(e);
				d.id = id;
				item.append(d);
			}
			toggle.setAttribute("aria-expanded", String(!shown));
		} }, String(e.seq));
		item.prepend(toggle);
		return item;
	};
	/** @param {(Envelope | Missing)[]} newest newest first */
	const add = (newest) => {
		kept = [...newest, ...kept].slice(0, KEPT);
		draw();
	};

	const stream = new Stream(filter, {
		events: (batch) => {
			seen += batch.length;
			add(batch.reverse());
		},
		gap: (gap) => {
			if (gap.reason === "rolled_back") kept = kept.filter((e) => !("seq" in e) || e.seq < gap.from);
			add([{ gap, id: `gap${gap.from}-${gap.to}-${Date.now()}` }]);
		},
		state: (now, why) => {
			live.change({ connected: now === "open" });
			if (now === "refused") fill(content, notice("error", "The events cannot be followed.", why));
		},
	});

	// The page's own stream takes the place of the tab's: a browser has few connections.
	live.stop();
	live.suspended = true;
	signal.addEventListener("abort", () => {
		stream.stop();
		live.suspended = false;
		live.start();
	});
	const follow = () => {
		if (live.paused) stream.stop();
		else if (!document.hidden) stream.start();
	};
	const begin = () => {
		if (!begun) {
			begun = true;
			live.addEventListener("state", follow, { signal });
			whileSeen(follow, () => stream.stop(), signal);
			follow();
		}
		ready();
	};
	let begun = false;

	// What happened just before, so that the page is not empty. The stream goes on behind it.
	poll(5000, signal, async () => {
		if (recent) return;
		const one = filter.types ? "" : filter.task ? "task" : filter.instance ? "instance" : "";
		/** @type {Envelope[]} */
		const before = one ? (await call(`${one}.history`, { id: filter[one], limit: 100, order: "desc" }, signal)).events
			: query.size ? [] : (await call("system.get_state", { limit: 100 }, signal)).recentEvents ?? [];
		const have = new Set(kept.map((e) => ("seq" in e ? e.seq : 0)));
		kept = [...kept, ...before.filter((e) => !have.has(e.seq))];
		stream.position ||= before[0]?.id ?? "";
		recent = true;
		draw();
		begin();
	}, (error) => {
		if (kept.length === 0) fill(content, failure(error, "the latest events"));
		begin();
	});
}

/** Shows one event. @param {HTMLElement} root @param {string} seq @param {AbortSignal} signal @param {() => void} ready */
function one(root, seq, signal, ready) {
	const place = h("section", { class: "card" }, loading());
	fill(root, h("p", { class: "crumbs" }, link("/ui/events", "Events")), h("h1", null, `Event ${seq}`), place);
	const n = Number(seq);
	let known = false;
	poll(5000, signal, async () => {
		if (known) return;
		const e = await call("event.get", { seq: n }, signal);
		known = true;
		fill(place, h("ol", { class: "lines" }, line(e)), details(e));
		root.append(h("nav", { class: "pages", "aria-label": "Neighbours" }, n > 1 && eventLink(n - 1, "Previous event"), eventLink(n + 1, "Next event")));
		ready();
	}, (error) => {
		fill(place, error.code === -32004 ? notice("empty", "The log has no such event.", "It has not happened yet, or it was removed.") : failure(error, "the event"));
		ready();
	});
}

/** Saves the log, with the filter, as JSON Lines. @param {Record<string, string>} filter */
function exportLines(filter) {
	ask({
		title: "Export events as JSON Lines", action: "Export", text: `One event a line, the oldest first, with the filter of the page, at most ${number(EXPORTED)}.`,
		fields: [{ name: "since", label: "From", kind: "select", value: "60", options: [["5", "the last 5 minutes"], ["60", "the last hour"], ["1440", "the last day"], ["0", "the beginning of the log"]] }],
		async run(v, closed) {
			const state = await call("system.metrics", { detailed: true }, closed).catch(() => undefined);
			if (closed.aborted) return;
			const last = state?.current.lastSeq ?? Infinity, minutes = Number(v.since);
			/** @type {string[]} */
			const lines = [];
			const began = Date.now();
			await new Promise((resolve, reject) => {
				let quiet = 0;
				const end = () => {
					clearTimeout(quiet);
					stream.stop();
					resolve(0);
				};
				const wait = (ms) => {
					clearTimeout(quiet);
					quiet = window.setTimeout(end, ms);
				};
				const stream = new Stream({ ...filter, after: minutes === 0 ? "0" : `${began - minutes * 60000}-0` }, {
					events: (batch, texts) => {
						texts.forEach((line, i) => { if (lines.length < EXPORTED && batch[i].seq <= last) lines.push(line + "\n"); });
						if (lines.length >= EXPORTED || (batch.at(-1)?.seq ?? 0) >= last) end();
						else wait(SILENT);
					},
					state: (now, why) => {
						clearTimeout(quiet);
						if (now === "open") wait(SILENT);
						else if (now === "refused") reject(new Error(why));
					},
				});
				closed.addEventListener("abort", end);
				stream.start();
			});
			if (closed.aborted) return;
			const a = h("a", { href: URL.createObjectURL(new Blob(lines, { type: "application/jsonl" })), download: `claudebench-events-${new Date(began).toISOString().slice(0, 19).replaceAll(":", "")}.jsonl` });
			a.click();
			setTimeout(() => URL.revokeObjectURL(a.href), 60000);
			toast(`${count(lines.length, "event")} exported${lines.length >= EXPORTED ? `: the first ${number(EXPORTED)}` : ""}.`);
		},
	});
}
