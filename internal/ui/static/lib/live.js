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
	/** A page's own stream in place of the tab's. @type {Stream | undefined} */
	own;
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
		let hidden = 0;
		document.addEventListener("visibilitychange", () => {
			clearTimeout(hidden);
			if (document.hidden) hidden = window.setTimeout(() => this.stop(), HIDDEN);
			else this.start();
		});
	}

	newStream() {
		return new Stream({ types: "instance.*,leader.*,task.*,system.*,batch.*,quorum.*,queue.*,schedule.*,limit.*" }, {
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

	/** @param {Partial<Live>} what */
	change(what) {
		const before = this.state;
		Object.assign(this, what);
		if (this.state !== before) this.dispatchEvent(new Event("state"));
	}

	/** Begins to follow the log; or again, after a stop, where it was stopped. */
	start() {
		if (this.paused || document.hidden || !session.info) return;
		if (!this.own && Date.now() - this.stream.stoppedAt > CATCH_UP) {
			this.stream = this.newStream();
			for (const l of this.listeners) l.reload();
		}
		(this.own ?? this.stream).start();
	}

	stop() {
		for (const stream of [this.own, this.stream]) stream?.stop();
		this.change({ connected: false });
	}

	/** Follows a page's own stream until the signal. The tab's stops, because a browser has few connections. @param {AbortSignal} signal @param {Stream | undefined} stream */
	follow(signal, stream) {
		this.stop();
		this.own = stream;
		this.start();
		if (stream) signal.addEventListener("abort", () => this.follow(signal, undefined));
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

	/** Calls the functions when there is a wanted event, and when events are missing. @param {AbortSignal} signal @param {(e: Envelope) => boolean} wanted @param {...() => void} act */
	on(signal, wanted, ...act) {
		const reload = () => act.forEach((each) => each());
		this.listen(signal, { reload, events: (batch) => { if (batch.some(wanted)) reload(); } });
	}
}

export const live = new Live();

/**
 * Runs read now, and again `ms` after each end, until the signal. It waits while the page is hidden or paused, as
 * long as a rate limit says, longer after a slow read, and less long while the coordinator does not answer. After
 * the first read, whatever came of it, the page is ready. Returns a function that makes it run soon, but not
 * within `least` ms.
 * @param {number} ms @param {Shown} place @param {() => Promise<unknown>} read
 * @param {(error: CallError) => void} [failed] @param {number} [least]
 */
export function poll(ms, { signal, ready }, read, failed, least = ms / 3) {
	let woken = new AbortController();
	const soon = () => woken.abort();
	const run = async () => {
		for (let first = true; !signal.aborted; first = false) {
			const asked = woken.signal.aborted;
			woken = new AbortController();
			let next = ms, wait = least;
			if (!first && !asked && (live.paused || document.hidden)) {
				await pause(ms, AbortSignal.any([signal, woken.signal]));
				continue;
			}
			const began = performance.now();
			try {
				await read();
				wait = Math.max(least, Math.min(ms, 5 * (performance.now() - began)));
			} catch (error) {
				if (signal.aborted) return;
				const known = error instanceof CallError ? error : new CallError(String(error), -32603);
				if (known !== error) console.error(error);
				next = Math.min(ms, known.code === OFFLINE ? 2000 : 5000);
				wait = known.data?.retryAfterMs ?? Math.min(least, next);
				failed?.(known);
			}
			if (first && !signal.aborted) ready?.();
			await pause(wait, signal);
			await pause(next - wait, AbortSignal.any([signal, woken.signal]));
		}
	};
	live.addEventListener("back", soon, { signal });
	document.addEventListener("visibilitychange", () => { if (!document.hidden && !live.paused) soon(); }, { signal });
	if (session.info) void run();
	return soon;
}
