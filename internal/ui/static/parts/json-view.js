// <cb-json>: a JSON value, readable and exact.

import { fill, h } from "../lib/dom.js";
import { Exact, write } from "../lib/json.js";

/** Longer texts are cut until they are asked for. */
const MOST = 20000;

export class JSONView extends HTMLElement {
	label = "JSON";
	/** @param {unknown} value */
	set value(value) {
		const source = write(value, "  ");
		if (this.shown === source) return;
		this.shown = source;
		const pre = h("pre", { tabindex: 0, role: "group", "aria-label": this.label });
		if (source.length > MOST) {
			pre.append(source.slice(0, MOST));
			fill(this, pre, h("button", { type: "button", onclick: () => { pre.textContent = source; } }, `Show all ${Math.round(source.length / 1024)} KiB`));
		} else {
			pre.append(...coloured(value, "\n"));
			fill(this, pre);
		}
	}
	/** @type {string | undefined} */
	shown;
}
customElements.define("cb-json", JSONView);

/** @param {unknown} value @param {string} line @returns {(Node | string)[]} */
function coloured(value, line) {
	if (value instanceof Exact) return [h("span", { class: "number" }, value.source)];
	if (typeof value === "string") return [h("span", { class: "string" }, JSON.stringify(value))];
	if (value === null || typeof value !== "object") return [h("span", { class: "number" }, String(value))];
	const inner = line + "  ";
	const list = Array.isArray(value);
	const entries = Object.entries(value);
	if (entries.length === 0) return [list ? "[]" : "{}"];
	/** @type {(Node | string)[]} */
	const out = [list ? "[" : "{"];
	entries.forEach(([name, item], i) => {
		out.push(inner);
		if (!list) out.push(h("span", { class: "name" }, JSON.stringify(name)), ": ");
		out.push(...coloured(item, inner));
		if (i < entries.length - 1) out.push(",");
	});
	out.push(line, list ? "]" : "}");
	return out;
}

/** @param {unknown} value @param {string} label */
export function jsonView(value, label) {
	const view = Object.assign(new JSONView(), { label });
	view.value = value;
	return view;
}
