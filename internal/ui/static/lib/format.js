// Numbers, times and words as people read them.

const whole = new Intl.NumberFormat("en");
const day = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const hms = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });
const full = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

/** @param {number | undefined | null} n */
export const number = (n) => (n === undefined || n === null ? "–" : whole.format(n));

/** @param {number} n @param {string} one @param {string} [many] */
export const count = (n, one, many = one + "s") => `${whole.format(n)} ${n === 1 ? one : many}`;

/** A duration. @param {number | undefined | null} ms */
export function duration(ms) {
	if (ms === undefined || ms === null || Number.isNaN(ms)) return "–";
	if (ms < 1) return ms === 0 ? "0 ms" : "< 1 ms";
	if (ms < 1000) return `${Math.round(ms)} ms`;
	const s = ms / 1000;
	if (s < 60) return `${s < 10 ? s.toFixed(1) : Math.round(s)} s`;
	const m = Math.floor(s / 60);
	if (m < 60) return `${m} min ${Math.floor(s % 60)} s`;
	const hours = Math.floor(m / 60);
	return hours < 48 ? `${hours} h ${m % 60} min` : `${Math.floor(hours / 24)} days`;
}

/** The time of day, with the date if it is not today. @param {number | string} time */
export function clock(time) {
	const t = new Date(time);
	if (Number.isNaN(t.getTime())) return "–";
	return `${t.toDateString() === new Date().toDateString() ? "" : `${day.format(t)}, `}${hms.format(t)}`;
}

/** The date and the time. @param {number | string} time */
export function moment(time) {
	const t = new Date(time);
	return Number.isNaN(t.getTime()) ? "–" : full.format(t);
}

let skew = 0;
/** The time by the coordinator's clock. */
export const now = () => Date.now() + skew;

/** Compares the clock with a header, which has whole seconds. @param {string | null} date */
export function keepTime(date) {
	const ahead = Date.parse(date ?? "") - Date.now();
	skew = Math.abs(ahead) > 2000 ? ahead : 0;
}

/** How long ago. @param {number | string} time */
export function ago(time) {
	const ms = now() - new Date(time).getTime();
	return ms < 1000 ? "now" : `${ms < 60000 ? `${Math.floor(ms / 1000)} s` : duration(ms).replace(/ \d+ s$/, "")} ago`;
}

/** Bytes. @param {number | undefined} n */
export function bytes(n) {
	if (n === undefined) return "–";
	const units = ["B", "KiB", "MiB", "GiB", "TiB"];
	let i = 0;
	for (; n >= 1024 && i < units.length - 1; i++) n /= 1024;
	return `${n < 10 && i > 0 ? n.toFixed(1) : Math.round(n)} ${units[i]}`;
}

/** A status as words. @param {string} s */
export const statusName = (s) => s && s[0].toUpperCase() + s.slice(1).replace("_", " ");

/** @param {string} s @param {number} most */
export const cut = (s, most) => (s.length > most ? s.slice(0, most - 1) + "…" : s);
