// What a person can do with tasks. Each function asks first, and resolves when it is done or given up.

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

/** Asks for a new task. */
export function create(then) {
	const idempotencyKey = crypto.randomUUID?.() ?? String(Math.random()); // also if the answer is lost and the person tries again
	ask({
		title: "Create a task", action: "Create",
		fields: [
			{ name: "text", label: "Text", kind: "area", required: true, hint: "What is to be done, at most 500 characters", attributes: { maxlength: 500 } },
			{ name: "priority", label: "Priority", kind: "number", value: "50", required: true, hint: "0 to 100, the highest is claimed first", attributes: { min: 0, max: 100 } },
			{ name: "roles", label: "Roles", hint: "The roles that the worker must have, with commas between them" },
			{ name: "metadata", label: "Metadata", kind: "area", hint: "A JSON object, or nothing" },
		],
		async run(v) {
			const roles = v.roles.split(",").map((r) => r.trim()).filter((r) => r !== "");
			const metadata = typedJSON(v.metadata, "The metadata") ?? (roles.length > 0 ? {} : undefined);
			if (roles.length > 0) metadata.roles = roles;
			const t = await call("task.create", { text: v.text, priority: Number(v.priority), metadata, idempotencyKey });
			toast(`Task ${t.id} created.`);
			then();
		},
	});
}

/** @param {string[]} ids */
export function remove(ids, then) {
	ask({
		title: `Delete ${these(ids)}?`, action: `Delete ${these(ids)}`, danger: true,
		text: "A deleted task cannot be brought back. Its worker learns of it when it completes the task. The events stay in the log.",
		async run() {
			await each(ids, (id) => ["task.delete", { id }], "deleted");
			then();
		},
	});
}

/** @param {string[]} ids @param {string[]} instances */
export function assign(ids, instances, then) {
	ask({
		title: `Assign ${these(ids)}`, action: `Assign ${these(ids)}`, text: "Only tasks that wait and have no owner can be assigned.",
		fields: [{ name: "instance", label: "Instance", required: true, suggestions: instances }],
		async run(v) {
			await each(ids, (taskId) => ["task.assign", { taskId, instanceId: v.instance.trim() }], "assigned");
			then();
		},
	});
}

/** @param {string[]} ids @param {number} now */
export function prioritise(ids, now, then) {
	ask({
		title: `Change the priority of ${these(ids)}`, action: `Change ${these(ids)}`,
		fields: [{ name: "priority", label: "Priority", kind: "number", required: true, value: String(now), hint: "0 to 100, the highest is claimed first", attributes: { min: 0, max: 100 } }],
		async run(v) {
			await each(ids, (id) => ["task.update", { id, updates: { priority: Number(v.priority) } }], "changed");
			then();
		},
	});
}

/** @param {string} id */
export function release(id, then) {
	ask({
		title: `Release task ${id}?`, action: "Release", text: "It is taken from its owner and returns to its queue. If the owner works on it, its result will be rejected once another worker has claimed the task.",
		async run() {
			await call("task.unassign", { taskId: id });
			toast(`Task ${id} released.`);
			then();
		},
	});
}

/** Completes a task, or lets it fail. @param {boolean} fail */
export function finish(task, fail, then) {
	ask({
		title: fail ? `Fail task ${task.id}` : `Complete task ${task.id}`, action: fail ? "Fail the task" : "Complete the task", danger: fail,
		text: `In the name of its owner, ${task.assignedTo}.`,
		fields: [fail
			? { name: "value", label: "Error", kind: "area", required: true, hint: "Why: a text, or JSON" }
			: { name: "value", label: "Result", kind: "area", hint: "A text, JSON, or nothing" }],
		async run(v) {
			const given = v.value.trim();
			/** @type {unknown} */
			let value = given === "" ? null : given;
			try {
				if (given !== "") value = parse(given);
			} catch { /* a text */ }
			await call("task.complete", { id: task.id, attempt: task.attempt, [fail ? "error" : "result"]: value });
			toast(`Task ${task.id} ${fail ? "failed" : "completed"}.`);
			then();
		},
	});
}
