// Messages: what a page says in place of data, and short reports of what was done.

import { UNAUTHORIZED } from "../lib/api.js";
import { button, card, h, put } from "../lib/dom.js";
import { poll } from "../lib/live.js";

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
	if (error.code === UNAUTHORIZED) return notice("forbidden", `You may not see ${what}.`, error.reason);
	return notice("error", `${what[0]?.toUpperCase()}${what.slice(1)} cannot be read.`, error.reason);
}

/**
 * A card that stays current: it shows what read returns, or that it cannot be read. Returns it, and what reads again.
 * The other parameters are those of poll.
 * @param {string} title @param {number} ms @param {Shown} place @param {() => Promise<Child[]>} read @param {number} [least]
 * @returns {[HTMLElement, () => void]}
 */
export function current(title, ms, place, read, least) {
	const element = card(title, loading());
	return [element, poll(ms, place, async () => put(element, ...await read()), (error) => put(element, failure(error, `the ${title.toLowerCase()}`)), least)];
}

const toasts = h("div", { class: "toasts", role: "status", "aria-live": "polite" });
document.body.append(toasts);

/** Reports what was done, for some seconds. @param {string} message @param {boolean} [bad] */
export function toast(message, bad = false) {
	const element = h("div", { class: bad ? "toast bad" : "toast" }, message,
		button("×", () => element.remove(), "icon", { "aria-label": "Close" }));
	toasts.append(element);
	setTimeout(() => element.remove(), bad ? 12000 : 6000);
}
