// The shell: the header, the sign-in, and which page an address shows.

import { CallError, UNAUTHORIZED, connection, identify, session, setToken, token } from "./lib/api.js";
import { button, fill, find, h, link, set, text, typing } from "./lib/dom.js";
import { live } from "./lib/live.js";
import { failure, loading, notice } from "./parts/notice.js";

/** The pages, by the first part of the address. */
const sections = [["", "Overview"], ["tasks", "Tasks"], ["fleet", "Fleet"], ["schedules", "Schedules"], ["events", "Events"], ["audit", "Audit"], ["system", "System"]];
/** @type {Record<string, string>} pages about one thing */
const single = { tasks: "task", fleet: "instance" };

/** A page is loaded when it is first shown, and the others after it. @param {string} name @returns {Promise<Page>} */
const load = async (name) => (await import(`./pages/${name}.js`))[name];
const loadAll = () => [...sections.map(([path]) => path || "overview"), ...Object.values(single)].forEach((name) => void load(name).catch(() => {}));

const main = find(document, "#main");
let leave = new AbortController();

/** Goes to an address inside the dashboard. @param {string} href */
export function go(href) {
	history.pushState(null, "", href);
	show();
	scrollTo(0, 0);
	main.focus({ preventScroll: true });
}

let shown = "";

function leavePage() {
	leave.abort();
	leave = new AbortController();
	live.change({ behindMs: 0 });
	document.querySelector("dialog")?.close();
}

function show() {
	leavePage();
	shown = location.pathname + location.search;
	delete main.dataset.ready;
	if (!session.info) return; // the sign-in is shown
	const [section, ...rest] = location.pathname.slice("/ui/".length).split("/");
	const id = unescaped(rest.join("/"));
	const found = id === undefined ? undefined : sections.find(([path]) => path === section);
	document.title = `${found ? id || found[1] : "Not found"} · ClaudeBench`;
	for (const a of nav.querySelectorAll("a")) set(a, { "aria-current": a.pathname === `/ui/${section}` && "page" });
	const root = h("div", { class: "page" });
	fill(main, root);
	const ready = () => {
		main.dataset.ready = "";
		loadAll();
	};
	const one = id ? single[section] : undefined;
	if (!found || (id && !one)) {
		main.dataset.page = "notfound";
		fill(root, h("h1", null, "There is no such page"), link("/ui/", "Go to the overview"));
		ready();
		return;
	}
	const name = main.dataset.page = one || section || "overview";
	const place = { root, id: id ?? "", query: new URLSearchParams(location.search), signal: leave.signal, ready };
	load(name).then((page) => place.signal.aborted || page(place), () => {
		if (place.signal.aborted) return;
		fill(root, notice("error", "The page cannot be loaded.", "The coordinator does not answer."));
		setTimeout(() => { if (!place.signal.aborted) show(); }, 2000);
	});
}

/** @param {string} s */
function unescaped(s) {
	try {
		return decodeURIComponent(s);
	} catch {
		return undefined;
	}
}

const nav = h("nav", { "aria-label": "Pages" }, sections.map(([path, name]) => link(`/ui/${path}`, name)));
const status = h("span", { class: "state", role: "status" });
const pauseButton = button("Pause", () => live.setPaused(!live.paused));
const who = h("div", { class: "who" });
const banner = h("p", { class: "banner", role: "alert", hidden: true });

/** @type {Record<LiveState, [string, string]>} */
const states = {
	connecting: ["Connecting", ""],
	live: ["Live", ""],
	paused: ["Paused", ""],
	behind: ["Behind", "What you see is behind the log. It catches up by itself."],
	offline: ["Offline", "The coordinator does not answer. What you see may be old; it becomes current as soon as the coordinator is back."],
};

function showState() {
	const [name, explained] = states[live.state];
	text(status, name);
	status.dataset.state = live.state;
	text(banner, explained);
	banner.hidden = explained === "";
	text(pauseButton, live.paused ? "Resume" : "Pause");
}
live.addEventListener("state", showState);

const themeButton = button("", () => {
	document.documentElement.dataset.theme = localStorage.theme = isDark() ? "light" : "dark";
	showTheme();
}, "icon");
const isDark = () => (document.documentElement.dataset.theme ?? (matchMedia("(prefers-color-scheme: dark)").matches ? "dark" : "light")) === "dark";
function showTheme() {
	text(themeButton, isDark() ? "☀" : "☾");
	themeButton.ariaLabel = isDark() ? "Use the light theme" : "Use the dark theme";
}

function showWho() {
	const info = session.info;
	fill(who, ...info?.authentication ? [h("span", { class: "caller" }, info.caller.name ?? "", h("small", null, info.caller.roles.join(", "))), button("Sign out", () => signIn())] : []);
}

/** Forgets the token and asks for one. @param {string} [why] */
function signIn(why = "") {
	setToken("");
	live.stop();
	leavePage();
	showWho();
	main.dataset.page = "signin";
	document.title = "Sign in · ClaudeBench";
	const message = h("p", { class: "message", role: "alert" }, why);
	const input = h("input", { id: "token", type: "password", autocomplete: "off", required: true, spellcheck: "false" });
	const form = h("form", { class: "signin" }, h("h1", null, "Sign in"),
		h("p", null, "This coordinator asks for a token. The operator of the fleet makes one with ", h("code", null, "claudebench token new"), "."),
		h("label", { for: "token" }, "Token"), input, message, h("button", { type: "submit", class: "primary" }, "Sign in"),
		h("p", null, h("small", null, "The token stays in this tab, and is forgotten when you close it.")));
	form.addEventListener("submit", (event) => {
		event.preventDefault();
		const given = input.value.trim();
		if (!/^[\x21-\x7e]+$/.test(given)) {
			fill(message, "A token has only letters, digits and signs, without spaces.");
			return;
		}
		setToken(given);
		void begin();
	});
	fill(main, form);
	main.dataset.ready = "";
	input.focus();
}

/** Finds out who the caller is, and shows the page. */
async function begin() {
	if (!main.firstElementChild) fill(main, loading("Connecting to the coordinator…"));
	try {
		await identify();
	} catch (error) {
		if (!(error instanceof CallError)) throw error;
		if (error.code === UNAUTHORIZED) return; // the sign-in is shown
		fill(main, failure(error, "the dashboard"));
		setTimeout(() => void begin(), 2000);
		return;
	}
	showWho();
	show();
	live.start();
}

connection.addEventListener("signin", () => {
	if (main.dataset.page === "signin" && !token()) return;
	signIn(token() ? "The token is not valid, or no longer." : "");
});

document.addEventListener("click", (event) => {
	if (event.defaultPrevented || event.button !== 0 || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
	const a = event.target instanceof Element ? event.target.closest("a") : null;
	const href = a?.getAttribute("href");
	if (!a || a.target || a.hasAttribute("download") || !href?.startsWith("/ui/")) return;
	event.preventDefault();
	go(href);
});
document.addEventListener("keydown", (event) => {
	const search = /** @type {HTMLInputElement | null} */ (main.querySelector("form input"));
	if (event.key !== "/" || !search || typing(event) || event.metaKey || event.ctrlKey || event.altKey) return;
	event.preventDefault();
	search.focus();
});
addEventListener("popstate", () => { if (shown !== location.pathname + location.search) show(); }); // and not for #main

fill(find(document, "#head"),
	h("a", { class: "brand", href: "/ui/" }, "ClaudeBench"), nav, h("div", { class: "tools" }, status, pauseButton, themeButton, who));
main.before(banner);
showState();
showTheme();
void begin();
