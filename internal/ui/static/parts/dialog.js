// Dialogs: forms and confirmations.

import { CallError } from "../lib/api.js";
import { button, fill, h } from "../lib/dom.js";
import { parse } from "../lib/json.js";

/** Asks, and runs the action. @param {Question} q */
export function ask(q) {
	/** @type {Map<string, HTMLInputElement | HTMLTextAreaElement | HTMLSelectElement>} */
	const inputs = new Map();
	const message = h("p", { class: "message", role: "alert" });
	const go = h("button", { type: "submit", class: q.danger ? "danger" : "primary" }, q.action);
	const rows = (q.fields ?? []).map((f) => {
		const common = { name: f.name, required: f.required, autocomplete: "off", spellcheck: "false", ...f.attributes };
		const input = f.kind === "area" ? h("textarea", { rows: 5, ...common })
			: f.kind === "select" ? h("select", common, (f.options ?? []).map(([value, label]) => h("option", { value }, label)))
				: h("input", { type: f.kind ?? "text", list: f.suggestions && "suggestions", ...common });
		input.value = f.value ?? "";
		inputs.set(f.name, input);
		return h("div", { class: "field" }, h("label", null, f.label, input), f.hint && h("small", null, f.hint),
			f.suggestions && h("datalist", { id: "suggestions" }, f.suggestions.map((value) => h("option", { value }))));
	});
	const form = h("form", { method: "dialog", novalidate: true }, h("h2", null, q.title), q.text && h("p", null, q.text),
		...rows, message, h("div", { class: "buttons" }, button("Cancel", () => dialog.close()), go));
	const dialog = h("dialog", { "aria-label": q.title }, form);
	form.addEventListener("submit", async (event) => {
		event.preventDefault();
		/** @type {Record<string, string>} */
		const values = {};
		for (const f of q.fields ?? []) {
			const input = inputs.get(f.name);
			const value = input?.value ?? "";
			if ((f.required && value.trim() === "") || (f.exactly !== undefined && value !== f.exactly) || input?.validity.badInput) {
				fill(message, f.exactly !== undefined ? `Type ${f.exactly} to confirm.` : `${f.label}: a value is needed.`);
				input?.focus();
				return;
			}
			values[f.name] = value;
		}
		go.disabled = true;
		fill(message);
		try {
			await q.run(values, closed.signal);
			dialog.close();
		} catch (error) {
			fill(message, error instanceof CallError ? error.reason : error instanceof Error ? error.message : String(error));
			go.disabled = false;
		}
	});
	const closed = new AbortController();
	dialog.addEventListener("close", () => {
		closed.abort();
		dialog.remove();
	});
	document.body.append(dialog);
	dialog.showModal();
	const first = inputs.values().next().value;
	if (first) first.focus();
	else go.focus();
}

/** Parses JSON that a person typed. @param {string} text @param {string} label */
export function typedJSON(text, label) {
	if (text.trim() === "") return undefined;
	try {
		return parse(text);
	} catch (error) {
		throw new Error(`${label} is not JSON: ${error instanceof Error ? error.message : error}`);
	}
}
