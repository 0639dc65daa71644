// The console's frame: what is on the side, which page is shown, and what is said when the server goes away or a key is
// refused. Pages are modules of their own, loaded when they are first opened.

import { discover, has, key, limits, listen, setKey } from "./lib/api.js";
import { announce, h, icon, put } from "./lib/dom.js";
import { problem } from "./lib/parts.js";
import { language, speak, t } from "./lib/words.js";

// Each with the operation of the contract that it is about: a page without its operation is not shown.
const PAGES = [
  ["images", "POST /v1/images/classify"],
  ["notes", "POST /v1/notes/classify"],
  ["people", "GET /v1/users/{user_id}/recommendations"],
  ["cases", "POST /v1/cases/search"],
  ["models", "GET /v1/models"],
  ["operations", "GET /metrics"],
  ["audit", "GET /v1/audit"],
];

const main = document.getElementById("main");
const side = document.getElementById("side");
let leave = null;
let turn = 0;
/** The page that `leave` is of. */
let drawn = "";
/** What a page that is drawn anew was left with: `{page, left}`. */
let kept = null;
let banner = null;
let passing = null;
/** Whether the key was refused since it was set. */
let refused = false;

/** What the address says: page, what follows it, decoded. The page is null where there is none of that name. */
function address() {
  const [page, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const decode = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  return [page === "" ? "images" : PAGES.some(([name]) => name === page) ? page : null, rest.map(decode)];
}

function frame() {
  const [page] = address();
  // Who presses a button of the frame stays on it.
  const focused = side.contains(document.activeElement) ? document.activeElement.id : "";
  document.getElementById("skip").textContent = t("skip");
  const available = PAGES.filter(([, operation]) => has(operation));
  put(side,
    h("a.brand", { href: "#/images" }, h("img", { src: "/console/icon.svg", alt: "" }), "medserve"),
    h("nav", { "aria-label": t("pages") }, available.map(([name]) => h("a", {
      href: `#/${name}`, "aria-current": name === page ? "page" : null,
    }, icon(name), t(`${name}.title`)))),
    h("div.tools",
      h("div.row",
        h("button.quiet", { type: "button", id: "language", lang: language() === "zh" ? "en" : "zh-Hans", on: { click: () => { speak(language() === "zh" ? "en" : "zh"); show(true); } } }, language() === "zh" ? "English" : "中文"),
        h("button.quiet", { type: "button", id: "theme", title: t("theme"), "aria-label": t("theme"), on: { click: turnTheme } }, icon("theme")),
        h("button.quiet", { type: "button", id: "key", on: { click: askKey } }, icon("key"), key() && !refused ? t("key.set") : t("key"))),
      h("p.fine", t("disclaimer")),
      h("p.fine", h("a", { href: "/docs" }, "API"), limits().version ? ` · ${limits().version}` : "")));
  if (focused) document.getElementById(focused)?.focus();
  // On a phone the pages are a line that may be longer than the screen.
  const nav = side.querySelector("nav"), current = nav.querySelector("[aria-current]");
  if (current) nav.scrollLeft = current.offsetLeft - nav.offsetLeft - 40;
}

function turnTheme() {
  const dark = document.documentElement.dataset.theme !== "dark";
  try {
    localStorage.setItem("medserve.theme", dark ? "dark" : "light");
  } catch {
    // Without storage the system decides.
  }
  dispatchEvent(new Event("medserve-theme"));
}

/** The key's dialog. */
function askKey() {
  const input = h("input", { type: "password", id: "key-input", autocomplete: "off", spellcheck: "false", value: key(), pattern: "\\s*[\\x21-\\x7e]*\\s*", title: t("key.letters") });
  const dialog = h("dialog", { "aria-labelledby": "key-title" },
    h("form", { method: "dialog", on: { submit: () => setKey(input.value.trim()) } },
      h("h2", { id: "key-title" }, t("key.title")), h("p.soft", t("key.lead")),
      h("label", { for: "key-input" }, t("key")), input,
      h("div.row.end.gap",
        h("button", { type: "button", on: { click: () => { input.value = ""; setKey(""); dialog.close(); } } }, t("key.forget")),
        h("button.main", { id: "key-use" }, t("key.use")))));
  dialog.addEventListener("close", () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
}

function say(text, action = null) {
  clearTimeout(passing);
  banner?.remove();
  banner = text ? h("div.banner", { role: "alert" }, icon("warning"), h("span", text), action) : null;
  if (banner) main.prepend(banner);
}

/** Draws the page. With `keep` it is the same page in another language or with another key: what was typed, dropped and answered stays. */
async function show(keep = false) {
  const mine = ++turn, [page, rest] = address();
  if (leave) kept = { page: drawn, left: leave(keep) };
  if (!keep || kept?.page !== page) kept = null;
  leave = null;
  announce("");
  frame();
  document.title = page ? `${t(`${page}.title`)} · medserve` : "medserve";
  const place = h("div");
  put(main, place);
  if (!page) {
    put(place, h("div.notice.warn", { role: "alert" }, icon("warning"), h("div", t("page.none"))));
    main.dataset.ready = "";
    return;
  }
  try {
    const { open } = await import(`./pages/${page}.js`);
    if (mine !== turn) return;
    const end = await open(place, rest, kept?.left ?? undefined);
    // Another page or language by now: what this one was given waits for the next.
    if (mine !== turn) end?.();
    else [leave, kept, drawn] = [end ?? null, null, page];
  } catch (error) {
    if (mine === turn) put(place, problem(error));
  }
  if (mine === turn) main.dataset.ready = page;
}

listen((event) => {
  if (event === "key") {
    refused = false;
    say("");
    show(true);
  } else if (event === "refused") {
    if (!refused) {
      refused = true;
      frame();
    }
    const { demo, identity } = limits();
    say(t(key() ? "key.refused" : identity ? "key.missing" : demo ? "key.demo" : "key.none"), h("button", { type: "button", on: { click: askKey } }, t("key.enter")));
  } else if (event === "lost") {
    say(t("server.lost"));
  } else if (event === "found") {
    say(t("server.found"));
    passing = setTimeout(() => say(""), 4000);
    discover().then(frame, () => {});
  }
});

/** The key that `--demo` prints in its address, which leaves the address at once. */
function takeKey() {
  const found = /^#key=([\w.~+-]+)$/.exec(location.hash);
  if (!found) return false;
  history.replaceState(null, "", "/#/images");
  setKey(found[1]);
  return true;
}

async function start() {
  speak(language());
  const taken = takeKey();
  // Asked for beside the contract, which comes later than it.
  if (address()[0]) import(`./pages/${address()[0]}.js`).catch(() => {});
  try {
    await discover();
  } catch (error) {
    frame();
    put(main, problem(error));
    setTimeout(start, 3000);
    return;
  }
  addEventListener("hashchange", () => {
    if (takeKey()) return;
    show();
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  });
  // The page stays in the address.
  document.getElementById("skip").addEventListener("click", (event) => {
    event.preventDefault();
    main.focus();
  });
  await show();
  if (taken && !refused) announce(t("key.taken"));
}

start();
