// The histories of tasks and instances.

import { CallError, NOT_FOUND, call, known } from "../lib/api.js";
import { h, put } from "../lib/dom.js";
import { line } from "./event-line.js";
import { failure, notice } from "./notice.js";

/**
 * Shows in a card what read returns, or why there is no history.
 * @param {HTMLElement} place @param {string} method @param {() => Promise<Child[]>} read
 */
export async function showHistory(place, method, read) {
	/** @type {Child[]} */
	let shown;
	if (!known(method)) shown = [notice("empty", "This coordinator keeps no history.")];
	else {
		try {
			shown = await read();
		} catch (error) {
			if (!(error instanceof CallError)) throw error;
			shown = [error.code === NOT_FOUND ? notice("empty", "No events are known.") : failure(error, "the history")];
		}
	}
	put(place, ...shown);
}

/** The newest events of an instance. @param {string} id @param {AbortSignal} signal */
export async function newest(id, signal) {
	/** @type {Envelope[]} */
	const list = (await call("instance.history", { id, limit: 100, order: "desc" }, signal)).events;
	return list.length === 0 ? h("p", null, "No events are known.") : h("ol", { class: "lines" }, list.map(line));
}
