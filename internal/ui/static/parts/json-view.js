// <cb-json>: a JSON value, readable and exact.

import { button, fill, h } from "../lib/dom.js";
import { write } from "../lib/json.js";

/** Longer texts are cut until they are asked for. */
const MOST = 20000;

class JSONView extends HTMLElement {
	label = "JSON";
	/** @param {unknown} value */
	set value(value) {
		const source = write(value, "  ");
		if (this.shown === source) return;
		this.shown = source;
		const pre = h("pre", { tabindex: 0, role: "group", "aria-label": this.label }, source.length > MOST ? source.slice(0, MOST) : coloured(source));
		fill(this, pre, source.length > MOST && button(`Show all ${Math.round(source.length / 1024)} KiB`, () => { pre.textContent = source; }));
	}
	/** @type {string | undefined} */
	shown;
}
customElements.define("cb-json", JSONView);

/** The strings of a JSON text, with a colon behind those that are names, and its numbers and words. */
const token = /("(?:[^"\\]|\\.)*")(?=(:?))|[-+.\w]+/g;

/** @param {string} source @returns {(Node | string)[]} */
function coloured(source) {
	/** @type {(Node | string)[]} */
	const out = [];
	let end = 0;
	for (const { 0: found, 1: string, 2: colon, index } of source.matchAll(token)) {
		out.push(source.slice(end, index), h("span", { class: colon ? "name" : string ? "string" : "number" }, found));
		end = index + found.length;
	}
	return [...out, source.slice(end)];
}

/** @param {unknown} value @param {string} label */
export const jsonView = (value, label) => Object.assign(new JSONView(), { label, value });
