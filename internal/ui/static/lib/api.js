// Calls methods of the coordinator's API, and knows who the caller is and what it may do.

import { keepTime } from "./format.js";
import { parse, write } from "./json.js";

/** An error that a method returned, or "offline" if there was no response. */
export class CallError extends Error {
	constructor(message, code, data) {
		super(message);
		this.code = code;
		this.data = data;
	}
	/** Why, for people. */
	get reason() {
		if (this.code === OFFLINE) return "The coordinator does not answer.";
		if (this.code === -32000) return `Too many calls. Try again in ${Math.ceil((this.data?.retryAfterMs ?? 1000) / 1000)} s.`;
		if (typeof this.data === "string") return `${this.message}: ${this.data}`;
		const reason = this.data?.reason;
		return reason ? `${this.message}: ${reasons[reason] ?? reason}` : this.message;
	}
}

/** Why something failed, for people. @param {unknown} error */
export const reasonOf = (error) => error instanceof CallError ? error.reason : error instanceof Error ? error.message : String(error);

export const OFFLINE = 0;
export const UNAUTHORIZED = -32002;
export const NOT_FOUND = -32004;

const reasons = {
	ALREADY_FINISHED: "the task is finished.",
	NOT_FAILED: "the task has neither failed nor been cancelled.",
	NOT_ASSIGNED: "the task has no owner. Only a task with an owner can be finished.",
	NOT_OWNER: "the task has another owner now.",
	STALE_ATTEMPT: "the task has been claimed again since.",
	ALREADY_ASSIGNED: "the task has an owner. Release it first.",
	ROLES_MISSING: "the instance lacks a role that the task requires.",
	FLUSH_IN_PROGRESS: "a flush is running.",
};

const TOKEN = "claudebench.token";

/** Tells "signin" when a token is wanted, and "reached" or "lost" as responses come or not. */
export const connection = new EventTarget();

/** Who the caller is. */
export const session = {
	/** @type {Info | null} */ info: null,
	/** @type {MethodInfo[]} */ methods: [],
};

export function token() {
	return sessionStorage.getItem(TOKEN) ?? "";
}

/** Keeps the token for this tab only; "" forgets it. @param {string} value */
export function setToken(value) {
	if (value) sessionStorage.setItem(TOKEN, value);
	else sessionStorage.removeItem(TOKEN);
	session.info = null;
}

/**
 * Sends a request. Rejects with a CallError if there is no response, or none with a right to it.
 * @param {string} path @param {RequestInit} [init]
 * @returns {Promise<Response>}
 */
export async function request(path, init = {}) {
	let response;
	const secret = token();
	try {
		response = await fetch(path, { ...init, cache: "no-store", headers: { ...init.headers, ...(secret && { Authorization: `Bearer ${secret}` }) } });
	} catch (error) {
		if (!init.signal?.aborted) connection.dispatchEvent(new Event("lost"));
		throw new CallError(error instanceof Error ? error.message : "no response", OFFLINE);
	}
	connection.dispatchEvent(new Event("reached"));
	keepTime(response.headers.get("Date"));
	if (response.status === 401) {
		if (secret === token()) connection.dispatchEvent(new Event("signin"));
		throw new CallError("A token is required", UNAUTHORIZED);
	}
	return response;
}

let lastID = 0;

/** Calls a method. @param {string} method @param {object} [params] @param {AbortSignal} [signal] @returns {Promise<any>} */
export async function call(method, params = {}, signal) {
	const [answer] = await calls([[method, params]], signal);
	if (answer instanceof CallError) throw answer;
	return answer;
}

/**
 * Calls methods in one request. Each has its own answer: the result, or a CallError.
 * @param {any[][]} list @param {AbortSignal} [signal]
 * @returns {Promise<any[]>}
 */
export async function calls(list, signal) {
	const first = lastID + 1;
	const body = list.map(([method, params]) => ({ jsonrpc: "2.0", id: ++lastID, method, params }));
	const response = await request("/rpc", {
		method: "POST", signal, body: write(body), headers: { "Content-Type": "application/json" },
	});
	let answers;
	try {
		answers = parse(await response.text());
	} catch {
		throw new CallError(`the answer is no JSON, with status ${response.status}`, OFFLINE);
	}
	/** @param {any} e */
	const failed = (e) => new CallError(e?.message ?? "Internal error", e?.code ?? -32603, e?.data);
	if (!Array.isArray(answers)) throw failed(answers.error);
	/** @type {any[]} */
	const inOrder = [];
	for (const a of answers) inOrder[a.id - first] = a.error ? failed(a.error) : a.result;
	return inOrder;
}

/** Asks who the caller is and which methods there are. */
export async function identify() {
	const [info, discovered] = await calls([["system.info", {}], ["system.discover", {}]]);
	for (const answer of [info, discovered]) if (answer instanceof CallError) throw answer;
	session.methods = discovered.methods;
	session.info = info;
}

/** Whether there is a method, and the caller has a role for it. @param {string} method */
export function may(method) {
	const m = session.methods.find((known) => known.name === method);
	return m !== undefined && (m.metadata.roles.some((r) => session.info?.caller.roles.includes(r)));
}

/** Whether the caller may call a method for an instance, or for a task that it owns. @param {string} method @param {string} instance */
export function mayFor(method, instance) {
	const { roles = [], instancePrefix } = session.info?.caller ?? {};
	return may(method) && (roles.includes("operator") || roles.includes("admin") || Boolean(instancePrefix && instance.startsWith(instancePrefix)));
}
