// The audit: what the log holds, what is missing, and whether everything stored equals it.

import { call, may } from "../lib/api.js";
import { button, card, eventLink, fill, h, pairs, put } from "../lib/dom.js";
import { ago, count, duration, moment, number } from "../lib/format.js";
import { live, poll } from "../lib/live.js";
import { failure, loading, notice, toast } from "../parts/notice.js";

/** @param {Place} place */
export function audit({ root, signal, ready }) {
	const log = card("The log", loading()), last = card("Last verification", loading()), gaps = card("Gaps", loading());
	const run = h("div", { class: "running", role: "status" });
	const start = button("Verify now", verify, "primary");
	fill(root, h("div", { class: "title" }, h("h1", null, "Audit"), may("audit.verify") && start),
		h("p", null, "A verification reads the whole log and compares it with everything stored in Redis and Postgres. Commands go on meanwhile."), run, last, log, gaps);
	let was = false;
	const soon = poll(2000, signal, async () => {
		const s = await call("audit.status", {}, signal);
		put(log, pairs(
			["Events", s.log.first ? [eventLink(s.log.first), " to ", eventLink(s.log.last)] : "none"],
			["Begins after", s.log.base > 0 ? `event ${number(s.log.base)}: the events before were flushed or trimmed` : "nothing: the log is whole"],
			["In Redis", count(s.log.events ?? 0, "event")], ["Identity", h("code", null, s.log.identity)]));
		put(gaps, (s.gaps ?? []).length === 0 ? h("p", null, s.last ? "None was found: the numbers of the events follow one another." : "Unknown until the first verification.")
			: h("ul", null, s.gaps.map((g) => h("li", null, `Events ${number(g.from)} to ${number(g.to)}: ${g.reason}`))));
		fill(run, s.running && [h("progress", { max: Math.max(1, s.running.total), value: s.running.events, "aria-label": "Events verified" }),
			h("span", null, ` ${number(s.running.events)} of ${number(s.running.total)} events, begun ${ago(s.running.startedAt)} by ${s.running.startedBy || "somebody"}`)]);
		start.disabled = Boolean(s.running);
		if (was && !s.running && s.last) toast(s.last.ok ? "Everything stored equals the log." : "The verification found damage.", !s.last.ok);
		was = Boolean(s.running);
		showLast(s.last);
		ready();
	}, (error) => {
		put(log, failure(error, "the log's state"));
		ready();
	});

	function showLast(v) {
		if (!v) {
			put(last, h("p", null, "None has run since the last flush."));
			return;
		}
		const took = Date.parse(v.finishedAt) - Date.parse(v.startedAt);
		put(last,
			v.error ? notice("error", "It was not finished.", v.error)
				: v.ok ? h("p", { class: "good" }, "✓ Everything stored equals the log.") : h("p", { class: "bad" }, `✗ ${count(v.damagesTotal ?? v.damages.length, "difference")} between the log and what is stored.`),
			(v.damages ?? []).length > 0 && h("ul", { class: "plain" }, v.damages.map((/** @type {string} */ d) => h("li", null, d))),
			h("p", null, h("small", null, `${moment(v.finishedAt)}, ${count(v.events ?? 0, "event")} in ${duration(took)}, asked for by ${v.startedBy || "somebody"}`)));
	}

	async function verify() {
		start.disabled = true;
		try {
			await call("audit.verify");
			was = true;
		} catch (error) {
			toast(/** @type {CallError} */ (error).reason, true);
		}
		soon();
	}
	live.listen(signal, { events: () => {}, reload: soon });
}
