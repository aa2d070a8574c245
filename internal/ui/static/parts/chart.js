// <cb-chart>: a small chart of the last hour, one column a minute.

import { fill, svg } from "../lib/dom.js";

const W = 600, H = 120, BASE = H - 2;

export class Chart extends HTMLElement {
	/** @param {ChartData} data */
	set data(data) {
		const n = data.times.length;
		if (n === 0) return;
		const sums = data.times.map((_, i) => data.series.reduce((sum, s) => sum + (s.values[i] ?? 0), 0));
		const most = Math.max(1, ...(data.kind === "bars" ? sums : data.series.flatMap((s) => s.values.map((v) => v ?? 0))));
		const step = W / n;
		const value = (v) => v === undefined ? "none" : data.show(v);
		const y = (v) => BASE - (v / most) * (H - 12);
		/** @type {SVGElement[]} */
		const marks = [];
		if (data.kind === "bars") {
			const below = data.times.map(() => 0);
			for (const s of data.series) {
				let d = "";
				s.values.forEach((v, i) => {
					if (!v) return;
					const bottom = y(below[i]), top = y(below[i] + v);
					below[i] += v;
					d += `M${(i * step + 1).toFixed(1)} ${bottom.toFixed(1)}V${Math.min(top, bottom - 1.5).toFixed(1)}h${(step - 2).toFixed(1)}V${bottom.toFixed(1)}z`;
				});
				if (d) marks.push(svg("path", { class: `fill c${s.colour}`, d }));
			}
		} else {
			for (const s of data.series) {
				let d = "", drawing = false;
				s.values.forEach((v, i) => {
					if (v === undefined) {
						drawing = false;
						return;
					}
					const x = (i + 0.5) * step, alone = !drawing && s.values[i + 1] === undefined;
					d += `${drawing ? "L" : "M"}${x.toFixed(1)} ${y(v).toFixed(1)}${alone ? "h0" : ""}`;
					drawing = true;
				});
				if (d) marks.push(svg("path", { class: `stroke c${s.colour}`, d }));
			}
		}
		const columns = data.times.map((time, i) => {
			const said = data.series.map((s) => `${s.name} ${value(s.values[i])}`).join(", ");
			return svg("rect", { class: "column", x: (i * step).toFixed(1), y: 0, width: step.toFixed(1), height: H },
				svg("title", {}, `${new Date(time).toLocaleTimeString("en-GB", { hour: "2-digit", minute: "2-digit" })}: ${said}`));
		});
		const last = data.series.map((s) => {
			const v = s.values.findLast((x) => x !== undefined);
			return `${s.name} ${value(v)}`;
		});
		fill(this,
			svg("svg", { viewBox: `0 0 ${W} ${H}`, preserveAspectRatio: "none", role: "img", "aria-label": `${data.label}. At most ${data.show(most)}. Now: ${last.join(", ")}.` },
				svg("path", { class: "axis", d: `M0 ${BASE}H${W}` }), ...marks, ...columns),
			Object.assign(document.createElement("span"), { className: "most", textContent: data.show(most), ariaHidden: "true" }));
	}
}
customElements.define("cb-chart", Chart);
