// One event as a line, and in full.

import { session } from "../lib/api.js";
import { eventLink, h, instanceLink, pairs, taskLink, when } from "../lib/dom.js";
import { cut, duration, moment, number } from "../lib/format.js";
import { write } from "../lib/json.js";
import { instancesOf, taskOf } from "../lib/stream.js";
import { jsonView } from "./json-view.js";

const why = {
	instance_registered: "an instance registered", instance_unregistered: "its instance unregistered", instance_failed: "its instance died",
	session_changed: "its instance began another session", roles_changed: "its instance changed its roles", rebalanced: "to balance the load",
	requested: "somebody asked for it", released: "it was released",
};

/** @type {Record<string, (p: Record<string, any>) => string>} */
const stories = {
	"task.created": (p) => `created with priority ${p.priority}: ${cut(String(p.text), 120)}`,
	"task.claimed": (p) => `claimed by ${p.workerId}, attempt ${p.attempt}, after ${duration(p.waited)} of waiting`,
	"task.completed": (p) => `completed by ${p.workerId} in ${duration(p.duration)}`,
	"task.failed": (p) => `failed at ${p.workerId} after ${duration(p.duration)}: ${cut(write(p.error), 120)}`,
	"task.assigned": (p) => `assigned to ${p.instanceId}: ${why[p.reason] ?? p.reason}`,
	"task.unassigned": (p) => `taken from ${p.instanceId}: ${why[p.reason] ?? p.reason}`,
	"task.updated": (p) => `changed: ${Object.keys(p.changes ?? {}).map((name) => name.replace("Changes", "")).join(", ")}`,
	"task.deleted": (p) => `deleted by ${p.deletedBy}`,
	"instance.registered": (p) => `${p.resumed ? "registered again" : "registered"} with the roles ${(p.roles ?? []).join(", ") || "none"}`,
	"instance.unregistered": (p) => `unregistered; tasks that went to others: ${number(p.tasksReassigned)}`,
	"instance.failed": (p) => `died; tasks that went to others: ${number(p.tasksReassigned)}`,
	"leader.elected": (p) => `became the leader, term ${p.term}`,
	"quorum.voted": (p) => `voted on ${p.decision}: ${cut(write(p.value), 80)}`,
	"quorum.decision.made": (p) => `decided ${p.decision}: ${p.value === null ? "no majority" : cut(write(p.value), 80)}`,
	"schedule.changed": (p) => `${p.created ? "made" : "changed"} ${p.id}: ${p.cron}${p.paused ? ", paused" : ""}`,
	"schedule.fired": (p) => `${p.id}: ${p.taskId ?? `no task, ${cut(write(p.error), 80)}`}`,
	"system.flushed": () => "all data was deleted",
};

/** What happened, in words. @param {Envelope} e @returns {string} */
export function story(e) {
	const p = e.payload, tell = Object.hasOwn(stories, e.type) ? stories[e.type] : undefined;
	if (tell) return tell(p);
	return e.type.startsWith("batch.") ? `batch ${p.batchId}: ${number(p.itemsProcessed)} of ${number(p.total)} items` : cut(write(p), 120);
}

const gaps = {
	flushed: "were deleted by a flush", trimmed: "were removed from the beginning of the log", missing: "are missing, and nothing explains it. Run verify",
	rolled_back: "were lost by Redis; others have their numbers now", malformed: "cannot be read",
};

/** Which events are not there, and why. @param {Gap} gap */
export const gapStory = (gap) => `Events ${number(gap.from)} to ${number(gap.to)} ${gaps[gap.reason] ?? gap.reason}.`;

/** One event as an item of a list. @param {Envelope} e */
export function line(e) {
	const task = taskOf(e);
	const subjects = [...(task ? [taskLink(task)] : []), ...instancesOf(e).map(instanceLink)];
	return h("li", { class: "line", "data-type": e.type.split(".")[0] },
		when(e.timestamp), h("span", { class: "type" }, e.type),
		h("span", { class: "subjects" }, subjects.flatMap((a, i) => i > 0 ? [" ", a] : [a])), h("span", { class: "story" }, story(e)));
}

/** The link to an event's trace, if the operator has said where traces are. @param {string | null | undefined} trace */
export function traceLink(trace) {
	const id = trace?.split("-")[1];
	const template = session.info?.traceUrl;
	if (!id) return null;
	return template ? h("a", { href: template.replaceAll("{trace}", id), target: "_blank", rel: "noopener noreferrer" }, `trace ${id.slice(0, 8)}…`) : h("code", null, id);
}

/** An event in full. @param {Envelope} e */
export const details = (e) => h("div", { class: "details" }, pairs(["Sequence", eventLink(e.seq)], ["Entry ID", h("code", null, e.id)], ["Time", moment(e.timestamp)],
	["Actor", e.actor], ["Cause", e.cause ?? "–"], ["Trace", traceLink(e.trace) ?? "–"], ["Version", e.v]), jsonView(e.payload, `Payload of event ${e.seq}`));
