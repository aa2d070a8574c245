// The log, live: filters in the address, a pause without a loss, one event by its sequence number, export.

import { NOT_FOUND, call } from "../lib/api.js";
import { button, crumbs, eventLink, fill, h, keyed, text, title } from "../lib/dom.js";
import { count, number } from "../lib/format.js";
import { live, poll } from "../lib/live.js";
import { Stream, pause } from "../lib/stream.js";
import { ask } from "../parts/dialog.js";
import { details, gapStory, line } from "../parts/event-line.js";
import { filters } from "../parts/filters.js";
import { failure, loading, notice } from "../parts/notice.js";

/** How many events the page keeps, and how many of them are drawn. */
const KEPT = 2000, DRAWN = 100;
/** How many events an export has at most. */
const EXPORTED = 200000;
/** After how long a silence an export is whole: the coordinator sends a sign of life each 15 s. */
const SILENT = 16000;

/** @param {Place} place */
export function events({ root, query, signal, ready }) {
	const seq = query.get("seq");
	if (seq) return one(root, seq, signal, ready);
	/** @type {Record<string, string>} */
	const filter = {};
	for (const name of ["types", "task", "instance"]) {
		const value = query.get(name);
		if (value) filter[name] = name === "types" ? value.replaceAll(" ", "") : value;
	}
	const state = h("span", { role: "status" });
	const list = h("ol", { class: "lines log" }), content = h("div", null, loading("Waiting for events…"));
	const more = h("p");
	const form = filters("/ui/events", query, [["types", "Types", "task.*, instance.failed"], ["task", "Task", "t-6"], ["instance", "Instance"]]);
	fill(root, title("Events", state, button("Export…", () => exportLines(filter))), form, content, more);

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
		text(state, seen > 0 ? count(seen, "new event") : "");
		fill(more, kept.length > limit && button("Show older events", () => { limit += DRAWN; draw(); }),
			seen > KEPT && h("small", null, `The page keeps the newest ${number(KEPT)}.`));
	};
	/** @param {Envelope | Missing} e */
	const make = (e) => {
		if ("gap" in e) return h("li", { class: "line gap", role: "listitem" }, gapStory(e.gap));
		const item = line(e);
		const id = `e${e.seq}`;
		const toggle = button(e.seq, () => {
			const shown = item.querySelector(".details");
			if (shown) shown.remove();
			else item.append(Object.assign(details(e), { id }));
			toggle.ariaExpanded = String(!shown);
		}, "icon", { "aria-expanded": "false", "aria-controls": id, "aria-label": `Payload of event ${e.seq}` });
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

	let begun = false;
	const begin = () => {
		if (!begun && !signal.aborted) live.follow(signal, stream);
		begun = true;
	};

	// What happened just before, so that the page is not empty. The stream goes on behind it.
	poll(5000, { signal, ready }, async () => {
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
	fill(root, crumbs("/ui/events", "Events"), h("h1", null, `Event ${seq}`), place);
	const n = Number(seq);
	let known = false;
	poll(5000, { signal, ready }, async () => {
		if (known) return;
		const e = await call("event.get", { seq: n }, signal);
		known = true;
		fill(place, h("ol", { class: "lines" }, line(e)), details(e));
		root.append(h("nav", { class: "pages", "aria-label": "Neighbours" }, n > 1 && eventLink(n - 1, "Previous event"), eventLink(n + 1, "Next event")));
	}, (error) => fill(place, error.code === NOT_FOUND ? notice("empty", "The log has no such event.", "It has not happened yet, or it was removed.") : failure(error, "the event")));
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
			let heard = Infinity, whole = false, refused = "";
			const stream = new Stream({ ...filter, after: minutes === 0 ? "0" : `${began - minutes * 60000}-0` }, {
				events: (batch, texts) => {
					heard = Date.now();
					texts.forEach((line, i) => { if (lines.length < EXPORTED && batch[i].seq <= last) lines.push(line + "\n"); });
					whole ||= lines.length >= EXPORTED || (batch.at(-1)?.seq ?? 0) >= last;
				},
				state: (now, why) => {
					heard = now === "open" ? Date.now() : Infinity;
					if (now === "refused") refused = why;
				},
			});
			stream.start();
			while (!closed.aborted && !whole && !refused && Date.now() - heard < SILENT) await pause(100, closed);
			stream.stop();
			if (refused) throw new Error(refused);
			if (closed.aborted) return;
			const a = h("a", { href: URL.createObjectURL(new Blob(lines, { type: "application/jsonl" })), download: `claudebench-events-${new Date(began).toISOString().slice(0, 19).replaceAll(":", "")}.jsonl` });
			a.click();
			setTimeout(() => URL.revokeObjectURL(a.href), 60000);
			return `${count(lines.length, "event")} exported${lines.length >= EXPORTED ? `: the first ${number(EXPORTED)}` : ""}.`;
		},
	});
}
