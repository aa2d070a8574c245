// Makes elements. User data becomes text nodes and attribute values, never HTML: the page's policy of
// Trusted Types lets nothing else through.

import { ago, clock, moment, statusName } from "./format.js";

const SVG = "http://www.w3.org/2000/svg";

/**
 * Sets attributes. A function is a listener, named by "on" and the event; true sets an empty attribute;
 * false, null and undefined remove one.
 * @param {Element} element @param {Props} props
 */
export function set(element, props) {
	for (const [name, value] of Object.entries(props)) {
		if (typeof value === "function") element.addEventListener(name.slice(2), /** @type {EventListener} */ (value));
		else if (value === false || value === null || value === undefined) element.removeAttribute(name);
		else {
			const text = value === true ? "" : String(value);
			if (element.getAttribute(name) !== text) element.setAttribute(name, text);
		}
	}
}

/**
 * @template {keyof HTMLElementTagNameMap} T
 * @param {T} tag @param {Props | null} [props] @param {...Child} children
 * @returns {HTMLElementTagNameMap[T]}
 */
export function h(tag, props, ...children) {
	const element = document.createElement(tag);
	if (props) set(element, props);
	element.append(...nodes(children));
	return element;
}

/** @param {string} tag @param {Props} props @param {...Child} children @returns {SVGElement} */
export function svg(tag, props, ...children) {
	const element = document.createElementNS(SVG, tag);
	set(element, props);
	element.append(...nodes(children));
	return /** @type {SVGElement} */ (element);
}

/** @param {Child[]} children @returns {(Node | string)[]} */
function nodes(children) {
	/** @type {(Node | string)[]} */
	const list = [];
	for (const child of children.flat()) {
		if (child !== null && child !== undefined && child !== false) list.push(typeof child === "number" ? String(child) : child);
	}
	return list;
}

/** Replaces the children of an element. The focus stays, if there is such an element again. @param {Element} parent @param {...Child} children */
export function fill(parent, ...children) {
	const had = document.activeElement, held = parent.contains(had);
	parent.replaceChildren(...nodes(children));
	if (!had || !held || had.isConnected) return;
	const name = (e) => e.ariaLabel ?? e.textContent;
	for (const e of /** @type {NodeListOf<HTMLElement>} */ (parent.querySelectorAll(had.tagName))) if (name(e) === name(had)) return e.focus({ preventScroll: true });
}

/** The element that a selector finds, which must be there. @param {ParentNode} parent @param {string} selector @returns {HTMLElement} */
export function find(parent, selector) {
	const found = parent.querySelector(selector);
	if (!found) throw new Error(`no ${selector}`);
	return /** @type {HTMLElement} */ (found);
}

/** Sets an element's text if it differs. @param {Node} element @param {string | number} value */
export function text(element, value) {
	const wanted = String(value);
	if (element.textContent !== wanted) element.textContent = wanted;
}

/**
 * Makes the children of parent those of the list, in order. An element whose key was there before is kept
 * and updated, so that the focus, the selection and the place of scrolling stay.
 * @template T
 * @template {HTMLElement} E
 * @param {HTMLElement} parent @param {T[]} list @param {(item: T) => string} key @param {(item: T) => E} make
 * @param {(element: E, item: T) => void} [update]
 */
export function keyed(parent, list, key, make, update) {
	/** @type {Map<string, E>} */
	const before = new Map();
	for (const child of /** @type {any} */ (parent.children)) before.set(child.dataset.key, child);
	/** @type {Element | null} */
	let next = parent.firstElementChild;
	for (const item of list) {
		const k = key(item);
		let element = before.get(k);
		before.delete(k);
		if (!element) {
			element = make(item);
			element.dataset.key = k;
		}
		update?.(element, item);
		if (element === next) next = next.nextElementSibling;
		else parent.insertBefore(element, next);
	}
	for (const element of before.values()) element.remove();
}

/** A link inside the dashboard. @param {string} href @param {...Child} children */
export function link(href, ...children) {
	return h("a", { href }, ...children);
}

/** Whether the event is one of typing, which keys of the page must not take. @param {Event} event */
export function typing(event) {
	const t = event.target;
	return t instanceof Element && t.closest("input, textarea, select, dialog, [contenteditable]") !== null;
}

/** @param {Child} label @param {() => unknown} act @param {string} [style] @param {Props} [more] such as a name that says more than the label */
export const button = (label, act, style, more) => h("button", { type: "button", class: style, onclick: act, ...more }, label);

/** The head of a page. @param {Child} name @param {...Child} more */
export const title = (name, ...more) => h("div", { class: "title" }, h("h1", null, name), ...more);

/** The way back from a page about one thing. @param {string} href @param {string} name */
export const crumbs = (href, name) => h("p", null, link(href, name));

/** A part of a page with a heading. @param {Child} title @param {...Child} children */
export const card = (title, ...children) => h("section", { class: "card" }, h("h2", null, title), ...children);

/** Replaces what is below the heading of a card. @param {Element} place @param {...Child} children */
export const put = (place, ...children) => fill(place, place.firstElementChild, ...children);

/** Names and values. @param {...any[]} rows */
export const pairs = (...rows) => h("dl", { class: "pairs" }, rows.flatMap(([name, value]) => [h("dt", null, name), h("dd", null, value)]));

/** What may be wider than the page. @param {string} label @param {...Child} children */
export const scroll = (label, ...children) => h("div", { class: "scroll", tabindex: 0, role: "region", "aria-label": label }, ...children);

/** The head of a column. @param {Child} name @param {string | null} [sort] */
export const head = (name, sort) => h("th", { scope: "col", "aria-sort": sort }, name);

/** @param {string} caption @param {Child[]} heads @param {Child[][]} rows @param {string} [none] what is said in place of an empty table */
export const table = (caption, heads, rows, none = "None yet.") => rows.length === 0 ? h("p", null, none) : scroll(caption, h("table", null,
	h("thead", null, h("tr", null, heads.map((name) => head(name)))), h("tbody", null, rows.map((cells) => h("tr", null, cells.map((cell) => h("td", null, cell)))))));

/** @param {Child[]} items */
export const plain = (items) => h("ul", { class: "plain" }, items.map((item) => h("li", null, item)));

/** @param {string} id @param {string} [more] */
export const taskLink = (id, more = "") => link(`/ui/tasks/${encodeURIComponent(id)}`, id + more);

/** @param {string} id */
export const instanceLink = (id) => link(`/ui/fleet/${encodeURIComponent(id)}`, id);

/** @param {number} seq @param {string} [name] */
export const eventLink = (seq, name = String(seq)) => link(`/ui/events?seq=${seq}`, name);

/** A status with its colour. @param {string} status */
export const badge = (status) => h("span", { class: "badge", "data-status": status }, statusName(status));

/** A time. @param {number | string} at @param {(at: number | string) => string} [show] @param {(at: number | string) => string} [more] its title */
export const when = (at, show = clock, more = moment) => h("time", { datetime: new Date(at).toISOString(), title: more(at) }, show(at));

/** @type {Map<Element, () => void>} */
const changing = new Map();
setInterval(() => {
	for (const [element, show] of changing) {
		if (!element.isConnected) changing.delete(element);
		else if (!document.hidden) show();
	}
}, 1000);

/** Calls show now, and each second as long as the element is on the page. @template {Element} E @param {E} element @param {() => void} show */
export function eachSecond(element, show) {
	show();
	changing.set(element, show);
	return element;
}

/** How long ago, kept current. @param {number | string} at */
export function since(at) {
	const time = when(at, ago);
	return eachSecond(time, () => text(time, ago(at)));
}
