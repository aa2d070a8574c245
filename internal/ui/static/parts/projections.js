// The projections and how far they are behind the log, from /readyz.

import { request } from "../lib/api.js";
import { h, table } from "../lib/dom.js";
import { count, number } from "../lib/format.js";
import { parse } from "../lib/json.js";
import { current } from "./notice.js";

/** A card that stays current. @param {AbortSignal} signal */
export const projections = (signal) => current("Projections", 5000, { signal }, async () => {
	const list = parse(await (await request("/readyz", { signal })).text()).projections ?? [];
	return [table("Projections", ["Name", "Lag", "Rebuilds"], list.map((p) => [p.name, p.error ? h("span", { class: "bad" }, p.error)
		: p.lag === 0 ? "none" : p.lag > 0 ? count(p.lag, "event") : "unknown", number(p.rebuilds)]))];
})[0];
