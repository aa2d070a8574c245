// Follows /events: Server-Sent Events, read with fetch because EventSource cannot send a token.

import { CallError, OFFLINE, UNAUTHORIZED, reasonOf, request } from "./api.js";
import { parse } from "./json.js";

/** How long events are collected, so that a burst is drawn once. */
const COLLECT = 200;
/** The stream's heartbeats come each 15 s. */
const SILENCE = 40000;

export class Stream {
	/**
	 * @param {{types?: string, task?: string, instance?: string, after?: string}} filter @param {Handlers} handlers
	 */
	constructor(filter, handlers) {
		this.filter = filter;
		this.handlers = handlers;
		/** The ID to go on after; "" for what is new. */
		this.position = filter.after ?? "";
		/** @type {AbortController | null} */
		this.running = null;
		/** @type {Envelope[]} */
		this.batch = [];
		/** @type {string[]} */
		this.lines = [];
		this.timer = 0;
		this.stoppedAt = Infinity;
	}

	/** Begins, or goes on where it was stopped: no event is lost in between. */
	start() {
		if (this.running) return;
		this.stoppedAt = Infinity;
		this.running = new AbortController();
		void this.run(this.running.signal);
	}

	stop() {
		if (!this.running) return;
		this.running.abort();
		this.running = null;
		this.stoppedAt = Date.now();
		this.deliver();
	}

	/** @param {AbortSignal} signal */
	async run(signal) {
		for (let wait = 250; !signal.aborted; wait = Math.min(wait * 2, 5000)) {
			let why = "";
			try {
				await this.connect(signal, () => { wait = 250; });
			} catch (error) {
				if (signal.aborted) return;
				why = reasonOf(error);
				if (error instanceof CallError && error.code !== OFFLINE) {
					if (error.code !== UNAUTHORIZED) this.handlers.state?.("refused", why); // else the sign-in says it
					this.running = null;
					return;
				}
			}
			if (signal.aborted) return;
			this.handlers.state?.("closed", why);
			await pause(wait, signal);
		}
	}

	/** @param {AbortSignal} signal @param {() => void} opened */
	async connect(signal, opened) {
		const query = new URLSearchParams();
		for (const [name, value] of Object.entries({ ...this.filter, after: this.position })) if (value) query.set(name, value);
		const attempt = new AbortController();
		const abort = () => attempt.abort();
		signal.addEventListener("abort", abort, { signal: attempt.signal });
		addEventListener("pagehide", abort, { signal: attempt.signal }); // a page that the browser keeps for its back button would keep the connection too
		let silent = window.setTimeout(abort, SILENCE);
		try {
			const response = await request(`/events?${query}`, { signal: attempt.signal });
			if (!response.ok || !response.body) {
				const failed = await response.json().catch(() => ({}));
				// Only a wrong question stays wrong.
				throw new CallError(failed.error?.message ?? `status ${response.status}`, response.status === 400 ? -32602 : OFFLINE, failed.error?.data);
			}
			opened();
			this.handlers.state?.("open", "");
			const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
			for (let rest = ""; ;) {
				const { done, value } = await reader.read();
				if (done || signal.aborted) return;
				clearTimeout(silent);
				silent = window.setTimeout(abort, SILENCE);
				const messages = (rest + value).split("\n\n");
				rest = messages.pop() ?? "";
				for (const message of messages) this.take(message);
			}
		} finally {
			clearTimeout(silent);
			attempt.abort();
		}
	}

	take(message) {
		let id = "", type = "", data = "";
		for (const line of message.split("\n")) {
			if (line.startsWith("id: ")) id = line.slice(4);
			else if (line.startsWith("event: ")) type = line.slice(7);
			else if (line.startsWith("data: ")) data = line.slice(6);
		}
		if (type === "end") return;
		if (type === "gap") {
			this.deliver();
			this.handlers.gap?.(JSON.parse(data));
		} else if (data) {
			this.batch.push(parse(data));
			this.lines.push(data);
			if (!this.timer) this.timer = window.setTimeout(() => this.deliver(), COLLECT);
		}
		if (id) this.position = id;
	}

	deliver() {
		clearTimeout(this.timer);
		this.timer = 0;
		const { batch, lines } = this;
		this.batch = [];
		this.lines = [];
		if (batch.length > 0) this.handlers.events(batch, lines);
	}
}

/** @param {number} ms @param {AbortSignal} signal @returns {Promise<void>} */
export function pause(ms, signal) {
	return new Promise((resolve) => {
		if (signal.aborted) return resolve();
		const done = () => {
			clearTimeout(timer);
			signal.removeEventListener("abort", done);
			resolve();
		};
		const timer = window.setTimeout(done, ms);
		signal.addEventListener("abort", done, { once: true });
	});
}

/** The task that an event concerns, or "". @param {Envelope} e @returns {string} */
export function taskOf(e) {
	if (!e.type.startsWith("task.")) return "";
	return String(e.payload.taskId ?? e.payload.id ?? "");
}

/** The instances that an event concerns. @param {Envelope} e @returns {string[]} */
export function instancesOf(e) {
	const p = e.payload;
	const ids = e.type.startsWith("instance.") || e.type === "leader.elected"
		? [p.id] : [p.instanceId, p.workerId, p.processorId, p.assignedTo, p.previousAssignment];
	return [...new Set(ids.filter((id) => typeof id === "string" && id !== ""))];
}
