// Messages: what a page says in place of data, and short reports of what was done.

import { CallError, NOT_FOUND } from "../lib/api.js";
import { h, put } from "../lib/dom.js";

/**
 * A block that stands where data would: nothing there yet, no right, an error.
 * @param {"empty" | "loading" | "error" | "forbidden"} kind
 * @param {string} title
 * @param {...(Node | string)} more
 */
export function notice(kind, title, ...more) {
	return h("div", { class: `notice ${kind}`, role: kind === "error" ? "alert" : null }, h("strong", null, title),
		more.length > 0 && h("p", null, ...more));
}

/** @param {string} [what] */
export const loading = (what = "Loading…") => notice("loading", what);

/** A block for a failed call. @param {CallError} error @param {string} what what could not be read */
export function failure(error, what) {
	if (error.code === -32002) return notice("forbidden", `You may not see ${what}.`, error.reason);
	return notice("error", `${what[0]?.toUpperCase()}${what.slice(1)} cannot be read.`, error.reason);
}

/** Shows what read returns, or why there is nothing; then it rejects. @param {HTMLElement} place @param {() => Promise<Child[]>} read */
export async function showHistory(place, read) {
	try {
		put(place, ...await read());
	} catch (error) {
		if (!(error instanceof CallError)) throw error;
		put(place, error.code === NOT_FOUND ? notice("empty", "No events are known.") : failure(error, "the history"));
		throw error;
	}
}

const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
document.body.append(toasts);

/** Reports what was done, for some seconds. @param {string} message @param {boolean} [bad] */
export function toast(message, bad = false) {
	const element = h("div", { class: bad ? "toast bad" : "toast" }, message,
		h("button", { class: "icon", type: "button", "aria-label": "Close", onclick: () => element.remove() }, "×"));
	toasts.append(element);
	setTimeout(() => element.remove(), bad ? 12000 : 6000);
}
