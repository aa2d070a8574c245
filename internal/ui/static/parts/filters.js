// The form above a list: its fields are the query of the address.

import { h, link } from "../lib/dom.js";
import { go } from "../app.js";

/** The address of the first page of a list, with other values in the query. @param {string} path @param {URLSearchParams} query @param {Record<string, string>} values */
export function address(path, query, values) {
	const next = new URLSearchParams(query);
	for (const [name, value] of Object.entries({ offset: "", ...values })) {
		if (value) next.set(name, value);
		else next.delete(name);
	}
	return next.size > 0 ? `${path}?${next}` : path;
}

/**
 * @param {string} path the page's
 * @param {URLSearchParams} query
 * @param {[name: string, label: string, placeholder?: string][]} fields
 */
export function filters(path, query, fields) {
	/** @param {(name: string) => unknown} value */
	const withValues = (value) => address(path, query, Object.fromEntries(fields.map(([name]) => [name, String(value(name)).trim()])));
	const form = h("form", { class: "filters", role: "search" }, fields.map(([name, label, placeholder]) => h("label", null, label,
		h("input", { name, type: "search", value: query.get(name) ?? "", placeholder, autocomplete: "off", spellcheck: "false" }))),
	h("button", { type: "submit" }, "Filter"), fields.some(([name]) => query.get(name)) && link(withValues(() => ""), "Clear"));
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		const typed = new FormData(form);
		go(withValues((name) => typed.get(name)));
	});
	form.addEventListener("search", () => form.isConnected && form.requestSubmit());
	return form;
}
