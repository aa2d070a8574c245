// Dialogs: forms and confirmations.

import { reasonOf } from "../lib/api.js";
import { button, fill, h } from "../lib/dom.js";
import { parse } from "../lib/json.js";
import { toast } from "./notice.js";

/** A list that is filled when the values come. @param {Promise<string[]>} values */
function suggested(values) {
	const list = h("datalist", { id: "suggestions" });
	void values.then((all) => fill(list, all.map((value) => h("option", { value }))), () => {}); // without them it can be typed
	return list;
}

/** Asks, runs the action, and reports what was done. @param {Question} q @param {() => void} [then] */
export function ask(q, then) {
	const message = h("p", { class: "message", role: "alert" });
	const go = h("button", { type: "submit", class: q.danger ? "danger" : "primary" }, q.action);
	const inputs = (q.fields ?? []).map((f) => {
		const common = { name: f.name, required: f.required, autocomplete: "off", spellcheck: "false", ...f.attributes };
		const input = f.kind === "area" ? h("textarea", { rows: 5, ...common })
			: f.kind === "select" ? h("select", common, (f.options ?? []).map(([value, label]) => h("option", { value }, label)))
				: h("input", { type: f.kind ?? "text", list: f.suggestions && "suggestions", ...common });
		input.value = f.value ?? "";
		return { f, input };
	});
	const form = h("form", { method: "dialog", novalidate: true }, h("h2", null, q.title), q.text && h("p", null, q.text),
		inputs.map(({ f, input }) => h("div", { class: "field" }, h("label", null, f.label, input), f.hint && h("small", null, f.hint), f.suggestions && suggested(f.suggestions))),
		message, h("div", { class: "buttons" }, button("Cancel", () => dialog.close()), go));
	const dialog = h("dialog", { "aria-label": q.title }, form);
	form.addEventListener("submit", async (event) => {
		event.preventDefault();
		/** @type {Record<string, string>} */
		const values = {};
		for (const { f, input } of inputs) {
			const value = input.value;
			if ((f.required && value.trim() === "") || (f.exactly !== undefined && value !== f.exactly) || input.validity.badInput) {
				fill(message, f.exactly !== undefined ? `Type ${f.exactly} to confirm.` : `${f.label}: a value is needed.`);
				return input.focus();
			}
			values[f.name] = value;
		}
		go.disabled = true;
		fill(message);
		try {
			const done = await q.run(values, closed.signal);
			dialog.close();
			if (done) toast(done);
			then?.();
		} catch (error) {
			fill(message, reasonOf(error));
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
	(inputs[0]?.input ?? go).focus();
}

/** Parses JSON that a person typed. @param {string} text @param {string} label */
export function typedJSON(text, label) {
	if (text.trim() === "") return undefined;
	try {
		return parse(text);
	} catch (error) {
		throw new Error(`${label} is not JSON: ${reasonOf(error)}`);
	}
}
