// The audit: what the log holds, what is missing, and whether everything stored equals it.

import { call, may, reasonOf } from "../lib/api.js";
import { button, card, eventLink, fill, h, pairs, plain, put, title } from "../lib/dom.js";
import { ago, count, duration, moment, number } from "../lib/format.js";
import { live, poll } from "../lib/live.js";
import { gapStory } from "../parts/event-line.js";
import { failure, loading, notice, toast } from "../parts/notice.js";

/** @param {Place} place */
export function audit({ root, signal, ready }) {
	const log = card("The log", loading()), last = card("Last verification", loading()), gaps = card("Gaps", loading()), run = h("div", { class: "running", role: "status" });
	const start = button("Verify now", verify, "primary");
	fill(root, title("Audit", may("audit.verify") && start),
		h("p", null, "A verification reads the whole log and compares it with everything stored in Redis and Postgres. Commands go on meanwhile."), run, last, log, gaps);

	const items = (list) => list.length > 0 && plain(list);
	let was;
	const soon = poll(2000, { signal, ready }, async () => {
		const s = await call("audit.status", {}, signal), r = s.running, l = s.log;
		put(log, pairs(["Events", l.firstSeq ? [eventLink(l.firstSeq), " to ", eventLink(l.lastSeq), `, ${number(l.events)} in Redis`] : "none"],
			["Begins with", l.base > 1 ? `event ${number(l.base)}: the events before were flushed or trimmed` : "event 1: the log is whole"], ["Identity", h("code", null, l.identity)]));
		put(gaps, items(s.gaps.map(gapStory)) || h("p", null, s.last ? "None was found: the numbers of the events follow one another." : "None is known before the first verification."));
		fill(run, r && h("progress", { max: Math.max(1, r.total), value: r.events, "aria-label": "Events verified" }),
			r && `${number(r.events)} of ${r.total ? number(r.total) : "…"} events. ${r.doing} Begun ${ago(r.startedAt)} by ${r.startedBy}.`);
		start.disabled = Boolean(r);
		if (was && !r && s.last) toast(s.last.ok ? "Everything stored equals the log." : "The verification did not succeed.", !s.last.ok);
		was = r;
		showLast(s.last);
	}, (error) => [log, last, gaps].forEach((c) => put(c, failure(error, "it"))));

	function showLast(v) {
		if (!v) return put(last, h("p", null, "None has run yet."));
		put(last, v.error ? notice("error", "It ended early, and proves nothing.", v.error)
			: h("p", { class: v.ok ? "good" : "bad" }, v.ok ? "✓ Everything stored equals the log." : `✗ ${count(v.damagesTotal, "difference")} between the log and what is stored.`),
		items(v.damages), items(v.notes), h("p", null, h("small", null, `${moment(v.finishedAt)}: events ${number(v.base)} to ${number(v.lastSeq)}, ${count(v.tasks, "task")}, ${count(v.instances, "instance")} and `,
			`${count(v.rows, "row")} of Postgres in ${duration(Date.parse(v.finishedAt) - Date.parse(v.startedAt))}, asked for by ${v.startedBy}`)));
	}

	async function verify() {
		start.disabled = true;
		try {
			was = await call("audit.verify");
		} catch (error) {
			toast(reasonOf(error), true);
		}
		soon();
	}
	live.on(signal, () => false, soon);
}
