// <cb-chart>: a small chart of the last hour, one column a minute.

import { fill, h, svg } from "../lib/dom.js";

const W = 600, H = 120, BASE = H - 2;

export class Chart extends HTMLElement {
	/** @param {ChartData} data */
	set data(data) {
		const n = data.times.length, bars = data.kind === "bars";
		if (n === 0) return;
		const sums = data.times.map((_, i) => data.series.reduce((sum, s) => sum + (s.values[i] ?? 0), 0));
		const most = Math.max(1, ...(bars ? sums : data.series.flatMap((s) => s.values.map((v) => v ?? 0))));
		const step = W / n, px = (x) => x.toFixed(1);
		const value = (v) => v === undefined ? "none" : data.show(v);
		const y = (v) => BASE - (v / most) * (H - 12);
		const below = data.times.map(() => 0);
		const bar = (v, i) => {
			const bottom = y(below[i]), top = y(below[i] += v);
			return `M${px(i * step + 1)} ${px(bottom)}V${px(Math.min(top, bottom - 1.5))}h${px(step - 2)}V${px(bottom)}z`;
		};
		// A value without neighbours is a dot.
		const point = (v, i, all) => (all[i - 1] === undefined ? "M" : "L") + `${px((i + 0.5) * step)} ${px(y(v))}${(all[i - 1] ?? all[i + 1]) === undefined ? "h0" : ""}`;
		const marks = data.series.map((s) => {
			const d = s.values.map((v, i, all) => bars ? v && bar(v, i) : v !== undefined && point(v, i, all)).filter(Boolean).join("");
			return d !== "" && svg("path", { class: `${bars ? "fill" : "stroke"} c${s.colour}`, d });
		});
		const columns = data.times.map((time, i) => {
			const said = data.series.map((s) => `${s.name} ${value(s.values[i])}`).join(", ");
			return svg("rect", { class: "column", x: px(i * step), y: 0, width: px(step), height: H },
				svg("title", {}, `${new Date(time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}: ${said}`));
		});
		const last = data.series.map((s) => `${s.name} ${value(s.values.findLast((x) => x !== undefined))}`);
		fill(this,
			svg("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": `${data.label}. At most ${data.show(most)}. Now: ${last.join(", ")}.` },
				svg("path", { class: "axis", d: `M0 ${BASE}H${W}` }), ...marks, ...columns),
			h("span", { class: "most", "aria-hidden": "true" }, data.show(most)));
	}
}
customElements.define("cb-chart", Chart);
