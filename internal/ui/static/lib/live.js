// What keeps pages current: one stream of events for the tab, polls, and whether they run.

import { CallError, OFFLINE, connection, session } from "./api.js";
import { Stream, pause } from "./stream.js";

/** How long a hidden tab keeps its stream, so that hidden tabs do not use up the browser's connections. */
const HIDDEN = 30000;
/** How long a stream may have been stopped if its events are still to be read, rather than the page's data again. */
const CATCH_UP = 120000;

class Live extends EventTarget {
	paused = false;
	connected = false;
	lost = false;
	behindMs = 0;
	stoppedAt = 0;
	/** A page follows the log by itself. */
	suspended = false;
	/** @type {Stream} */
	stream;
	/** @type {Set<Listener>} */
	listeners = new Set();

	constructor() {
		super();
		this.stream = this.newStream();
		connection.addEventListener("lost", () => this.change({ lost: true }));
		connection.addEventListener("reached", () => {
			if (!this.lost) return;
			this.change({ lost: false });
			this.dispatchEvent(new Event("back"));
		});
		whileSeen(() => this.start(), () => this.stop());
	}

	newStream() {
		return new Stream({ types: "instance.*,leader.*,task.*,system.*,batch.*,quorum.*" }, {
			events: (batch) => { for (const l of this.listeners) l.events(batch); },
			gap: () => { for (const l of this.listeners) l.reload(); },
			state: (state) => this.change({ connected: state === "open" }),
		});
	}

	/** @returns {LiveState} */
	get state() {
		if (this.paused) return "paused";
		if (this.lost) return "offline";
		if (!this.connected) return "connecting";
		return this.behindMs > 2000 ? "behind" : "live";
	}

	/** @param {{connected?: boolean, lost?: boolean, paused?: boolean, behindMs?: number}} what */
	change(what) {
		const before = this.state;
		Object.assign(this, what);
		if (this.state !== before) this.dispatchEvent(new Event("state"));
	}

	/** Begins to follow the log; or again, after a stop, where it was stopped. */
	start() {
		if (this.paused || this.suspended || document.hidden || !session.info) return;
		const skip = this.stoppedAt > 0 && Date.now() - this.stoppedAt > CATCH_UP;
		this.stoppedAt = 0;
		if (skip) {
			this.stream = this.newStream();
			for (const l of this.listeners) l.reload();
		}
		this.stream.start();
	}

	stop() {
		if (!this.stream.running) return;
		this.stream.stop();
		this.stoppedAt = Date.now();
		this.change({ connected: false });
	}

	setPaused(paused) {
		this.change({ paused });
		if (paused) this.stop();
		else {
			this.start();
			this.dispatchEvent(new Event("back"));
		}
	}

	/** Passes on events until the signal. @param {AbortSignal} signal @param {Listener} listener */
	listen(signal, listener) {
		this.listeners.add(listener);
		signal.addEventListener("abort", () => this.listeners.delete(listener));
	}
}

/** Runs stop when the page has been hidden for a while, start when it is seen. @param {() => void} start @param {() => void} stop @param {AbortSignal} [signal] */
export function whileSeen(start, stop, signal) {
	let hidden = 0;
	document.addEventListener("visibilitychange", () => {
		clearTimeout(hidden);
		if (document.hidden) hidden = window.setTimeout(stop, HIDDEN);
		else start();
	}, { signal });
}

export const live = new Live();

/**
 * Runs read now, and again `ms` after each end, until the signal. It waits while the page is hidden or paused, as
 * long as a rate limit says, and less long while the coordinator does not answer. Returns a function that
 * makes it run soon, but at most three times in `ms`.
 * @param {number} ms @param {AbortSignal} signal @param {Read} read
 * @param {(error: CallError) => void} [failed]
 */
export function poll(ms, signal, read, failed) {
	let woken = new AbortController();
	const soon = () => woken.abort();
	const run = async () => {
		for (let first = true; !signal.aborted; first = false) {
			const asked = woken.signal.aborted;
			woken = new AbortController();
			let next = ms, least = ms / 3;
			if (!first && !asked && (live.paused || document.hidden)) {
				await pause(ms, AbortSignal.any([signal, woken.signal]));
				continue;
			}
			try {
				await read();
			} catch (error) {
				if (signal.aborted) return;
				const known = error instanceof CallError ? error : new CallError(String(error), -32603);
				if (!(error instanceof CallError)) console.error(error);
				next = Math.min(ms, known.code === OFFLINE ? 2000 : 5000);
				least = known.data?.retryAfterMs ?? Math.min(least, next);
				failed?.(known);
			}
			await pause(least, signal);
			await pause(next - least, AbortSignal.any([signal, woken.signal]));
		}
	};
	live.addEventListener("back", soon, { signal });
	document.addEventListener("visibilitychange", () => { if (!document.hidden && !live.paused) soon(); }, { signal });
	if (session.info) void run();
	return soon;
}

/**
 * Returns a function that runs `read` soon, but not more often than each `ms`, and never twice at once. A slow
 * read is repeated less often.
 * @param {number} ms @param {AbortSignal} signal @param {Read} read
 */
export function throttled(ms, signal, read) {
	let wanted = false, running = false;
	return async () => {
		wanted = true;
		if (running) return;
		running = true;
		while (wanted && !signal.aborted) {
			wanted = false;
			const began = performance.now();
			const wait = await read().catch(console.error);
			await pause(Math.max(ms, 5 * (performance.now() - began), wait ?? 0), signal);
		}
		running = false;
	};
}

/** Calls fn each second until the signal. @param {AbortSignal} signal @param {() => void} fn */
export function eachSecond(signal, fn) {
	const timer = setInterval(() => { if (!document.hidden) fn(); }, 1000);
	signal.addEventListener("abort", () => clearInterval(timer));
}
