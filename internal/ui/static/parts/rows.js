// Tables that stay current. A row and its cells stay the same elements as long as they show the same, so that
// the focus, the selection and the place of scrolling stay too.

import { OFFLINE } from "../lib/api.js";
import { fill, h, head, keyed, scroll } from "../lib/dom.js";
import { failure, loading } from "./notice.js";

/**
 * Returns the table's place on the page, its body, and what shows a list or says that it cannot be read.
 * @param {string} label @param {(Column | false)[]} all false for a column that the caller may not have
 */
export function rows(label, all) {
	const columns = all.filter((c) => c !== false);
	const body = h("tbody"), place = scroll(label, loading());
	const table = h("table", null, h("thead", null, h("tr", null, columns.map((c) => head(c[1], c[3])))), body);
	const update = (row, item) => columns.forEach(([style, , content], i) => {
		const wanted = h("td", { class: style || null }, content(item)), cell = row.cells[i];
		if (!cell) row.append(wanted);
		else if (!cell.isEqualNode(wanted)) fill(cell, ...wanted.childNodes);
	});
	/** @param {{id: string}[]} list @param {HTMLElement} none what is shown in place of an empty one */
	const show = (list, none) => {
		keyed(body, list, (item) => item.id, () => h("tr"), update);
		if (list.length === 0) fill(place, none);
		else if (!place.contains(table)) fill(place, table);
	};
	/** For poll: what is shown stays while the coordinator is away, or a rate limit holds. @param {string} what @returns {(error: CallError) => void} */
	const failed = (what) => (error) => { if (body.rows.length === 0 || error.code !== OFFLINE && !error.data?.retryAfterMs) fill(place, failure(error, what)); };
	return { place, body, show, failed };
}

/** A column of buttons. @param {(item: any) => Child} content @returns {Column} */
export const action = (content) => ["", h("span", { class: "hidden" }, "Actions"), content];
