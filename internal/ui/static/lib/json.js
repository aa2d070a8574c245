// JSON without a loss: numbers that JavaScript cannot hold are kept as they were written.

/** A number as it is written in the JSON text. */
export class Exact {
	constructor(source) {
		this.source = source;
	}
}

/**
 * Parses JSON. A number that JavaScript would show in another way becomes an Exact.
 * @param {string} source
 * @returns {any}
 */
export function parse(source) {
	if (!suspicious.test(source)) return JSON.parse(source);
	/** @type {(key: string, value: unknown, context?: {source?: string}) => unknown} */
	const revive = (_key, value, context) =>
		typeof value === "number" && context?.source !== undefined && String(value) !== context.source ? new Exact(context.source) : value;
	return JSON.parse(source, /** @type {(key: string, value: any) => any} */ (revive));
}

// Texts with a number of 16 digits or more, a fraction, an exponent or a negative zero. Most have none, and
// are parsed without the slower way.
const suspicious = /\d{16}|\d\.\d|\d[eE]|-0/;

/**
 * Writes a value that parse returned as JSON again.
 * @param {unknown} value
 * @param {string} [indent] what a level is indented by; without it, all is one line
 * @returns {string}
 */
export function write(value, indent = "") {
	return writeAt(value, indent, indent ? "\n" : "");
}

/** @param {unknown} value @param {string} indent @param {string} line @returns {string} */
function writeAt(value, indent, line) {
	if (value instanceof Exact) return value.source;
	if (value === null || typeof value !== "object") return JSON.stringify(value) ?? "null";
	const inner = line + indent;
	const colon = indent ? ": " : ":";
	const items = Array.isArray(value)
		? value.map((item) => writeAt(item, indent, inner))
		: Object.entries(value).filter(([, item]) => item !== undefined).map(([name, item]) => JSON.stringify(name) + colon + writeAt(item, indent, inner));
	const [open, close] = Array.isArray(value) ? ["[", "]"] : ["{", "}"];
	return items.length === 0 ? open + close : open + inner + items.join("," + inner) + line + close;
}
