// The projections and how far they are behind the log, from /readyz.

import { request } from "../lib/api.js";
import { card, h, put, table } from "../lib/dom.js";
import { count, number } from "../lib/format.js";
import { parse } from "../lib/json.js";
import { poll } from "../lib/live.js";
import { failure, loading } from "./notice.js";

/** A card that stays current. @param {AbortSignal} signal */
export function projections(signal) {
	const place = card("Projections", loading());
	poll(5000, signal, async () => {
		const list = parse(await (await request("/readyz", { signal })).text()).projections ?? [];
		put(place, table("Projections", ["Name", "Lag", "Rebuilds"], list.map((p) => [p.name, p.error ? h("span", { class: "bad" }, p.error)
			: p.lag === 0 ? "none" : p.lag > 0 ? count(p.lag, "event") : "unknown", number(p.rebuilds)])));
	}, (error) => put(place, failure(error, "the projections")));
	return place;
}
