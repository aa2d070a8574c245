// What a person can do with tasks. Each function asks first.

import { CallError, call, calls } from "../lib/api.js";
import { count, number } from "../lib/format.js";
import { parse } from "../lib/json.js";
import { ask, typedJSON } from "./dialog.js";
import { toast } from "./notice.js";

/**
 * Calls a method for each task, and reports the failures.
 * @param {string[]} ids @param {(id: string) => [string, object]} make @param {string} done such as "deleted"
 * @returns {Promise<void>}
 */
async function each(ids, make, done) {
	const failed = new Map();
	let n = 0;
	for (const a of await calls(ids.map(make))) {
		if (a instanceof CallError) failed.set(a.reason, (failed.get(a.reason) ?? 0) + 1);
		else n++;
	}
	toast(`${count(n, "task")} ${done}.`);
	for (const [reason, times] of failed) toast(`${count(times, "task")} not ${done}. ${reason}`, true);
}

/** @param {string[]} ids */
const these = (ids) => (ids.length === 1 ? `task ${ids[0]}` : `${number(ids.length)} tasks`);

/** @param {string} value @returns {Field} */
const priority = (value) => ({
	name: "priority", label: "Priority", kind: "number", value, required: true, hint: "0 to 100, the highest is claimed first", attributes: { min: 0, max: 100 },
});

/** Asks for a new task. */
export function create(then) {
	const idempotencyKey = crypto.randomUUID?.() ?? String(Math.random()); // for another try after a lost answer
	ask({
		title: "Create a task", action: "Create",
		fields: [
			{ name: "text", label: "Text", kind: "area", required: true, hint: "What is to be done, at most 500 characters", attributes: { maxlength: 500 } },
			priority("50"),
			{ name: "roles", label: "Roles", hint: "The roles that the worker must have, with commas between them" },
			{ name: "metadata", label: "Metadata", kind: "area", hint: "A JSON object, or nothing" },
		],
		async run(v) {
			const roles = v.roles.split(",").map((r) => r.trim()).filter((r) => r !== "");
			const metadata = typedJSON(v.metadata, "The metadata") ?? (roles.length > 0 ? {} : undefined);
			if (roles.length > 0) metadata.roles = roles;
			const t = await call("task.create", { text: v.text, priority: Number(v.priority), metadata, idempotencyKey });
			return `Task ${t.id} created.`;
		},
	}, then);
}

/** Asks, then calls for each task. @param {string[]} ids @param {object} more */
const many = (ids, action, make, done, then, more) => ask({
	title: `${action} ${these(ids)}?`, action: `${action} ${these(ids)}`, ...more, run: (v) => each(ids, (id) => make(id, v), done),
}, then);

export const remove = (ids, then) => many(ids, "Delete", (id) => ["task.delete", { id }], "deleted", then, {
	danger: true, text: "It cannot be brought back. Its worker learns of it when it completes it. The events stay in the log.",
});

export const cancel = (ids, then) => many(ids, "Cancel", (id) => ["task.cancel", { id }], "called off", then, {
	danger: true, text: "A worker that has claimed it has 30 seconds to end it.",
});

export const retry = (ids, then) => many(ids, "Retry", (id) => ["task.retry", { id }], "revived", then, {});

/** The live instances. */
const instances = async () => ((await call("system.get_state")).instances ?? []).map((i) => i.id);

export const assign = (ids, then) => many(ids, "Assign", (taskId, v) => ["task.assign", { taskId, instanceId: v.instance.trim() }], "assigned", then, {
	title: `Assign ${these(ids)}`, text: "Only tasks that wait and have no owner can be assigned.",
	fields: [{ name: "instance", label: "Instance", required: true, suggestions: instances() }],
});

export const prioritise = (ids, now, then) => many(ids, "Change", (id, v) => ["task.update", { id, updates: { priority: Number(v.priority) } }], "changed", then, {
	title: `Change the priority of ${these(ids)}`,
	fields: [priority(String(now))],
});

export const release = (id, then) => many([id], "Release", (taskId) => ["task.unassign", { taskId }], "released", then, {
	action: "Release", text: "It returns to its queue. The result of its owner is rejected once another worker has claimed it.",
});

/** Completes a task, or lets it fail. @param {boolean} fail */
export function finish(task, fail, then) {
	const verb = fail ? "Fail" : "Complete";
	ask({
		title: `${verb} task ${task.id}`, action: `${verb} the task`, danger: fail,
		text: `In the name of its owner, ${task.assignedTo}.`,
		fields: [{ name: "value", kind: "area", ...(fail ? { label: "Error", required: true, hint: "Why: a text, or JSON" } : { label: "Result", hint: "A text, JSON, or nothing" }) }],
		async run(v) {
			const given = v.value.trim();
			/** @type {unknown} */
			let value = given === "" ? null : given;
			try {
				if (given !== "") value = parse(given);
			} catch { /* a text */ }
			await call("task.complete", { id: task.id, attempt: task.attempt, [fail ? "error" : "result"]: value });
			return `Task ${task.id} ${fail ? "failed" : "completed"}.`;
		},
	}, then);
}
