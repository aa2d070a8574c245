// The form above a list: its fields are the query of the address.

import { h, link } from "../lib/dom.js";
import { go } from "../app.js";

/**
 * @param {string} path the page's
 * @param {URLSearchParams} query
 * @param {[name: string, label: string, placeholder?: string][]} fields
 */
export function filters(path, query, fields) {
	const address = () => {
		const next = new URLSearchParams(query);
		next.delete("offset");
		for (const [name] of fields) next.delete(name);
		return next;
	};
	const form = h("form", { class: "filters", role: "search" }, fields.map(([name, label, placeholder]) => h("label", null, label,
		h("input", { name, type: "search", value: query.get(name) ?? "", placeholder, autocomplete: "off", spellcheck: "false" }))),
	h("button", { type: "submit" }, "Filter"), fields.some(([name]) => query.get(name)) && link(`${path}?${address()}`, "Clear"));
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		const next = address();
		for (const [name, value] of new FormData(form)) if (String(value).trim()) next.set(name, String(value).trim());
		go(`${path}?${next}`.replace(/\?$/, ""));
	});
	form.addEventListener("search", () => form.isConnected && form.requestSubmit());
	return form;
}
