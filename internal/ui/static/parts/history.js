// The histories of tasks and instances.

import { CallError, NOT_FOUND } from "../lib/api.js";
import { put } from "../lib/dom.js";
import { failure, notice } from "./notice.js";

/** Shows in a card what read returns, or why there is no history. @param {HTMLElement} place @param {() => Promise<Child[]>} read */
export async function showHistory(place, read) {
	try {
		put(place, ...await read());
	} catch (error) {
		if (!(error instanceof CallError)) throw error;
		put(place, error.code === NOT_FOUND ? notice("empty", "No events are known.") : failure(error, "the history"));
	}
}
