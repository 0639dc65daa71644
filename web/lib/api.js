// Talking to the server: every request goes through here, with the key of this tab and with every failure made into
// one kind of error whose words are for the person who reads them.

import { t } from "./words.js";

const KEY = "medserve.key";
const listeners = new Set();
let operations = new Map();
let settings = { max_body_bytes: 64 << 20, max_images: 256, max_records: 256, identity: false, demo: false, version: "" };
let reachable = true;

/** What went wrong, in words. `status` is 0 where no answer came. */
export class Failure extends Error {
  constructor(status, detail, { errors = [], requestId = "", retryAfter = null } = {}) {
    super(detail);
    Object.assign(this, { status, errors, requestId, retryAfter });
  }

  /** What the person can do about it, if there is something to say. */
  get advice() {
    const key = this.status >= 500 ? (this.status === 503 ? "failure.503" : "failure.5xx") : `failure.${this.status}`;
    return [0, 401, 403, 413, 429].includes(this.status) || this.status >= 500 ? t(key, { seconds: this.retryAfter ?? "…" }) : "";
  }
}

/** The key of this tab; it is in the tab's own storage and nowhere else. */
export function key() {
  try {
    return sessionStorage.getItem(KEY) ?? "";
  } catch {
    return key.memory ?? "";
  }
}

/** Keeps a key for this tab; an empty one forgets it. */
export function setKey(value) {
  key.memory = value;
  try {
    if (value) sessionStorage.setItem(KEY, value);
    else sessionStorage.removeItem(KEY);
  } catch {
    // Then it lasts as long as the page.
  }
  tell("key");
}

/** Calls back at "key", "refused", "lost" and "found": the key changed or was refused, the server went and came back. */
export function listen(handler) {
  listeners.add(handler);
  return () => listeners.delete(handler);
}

function tell(event) {
  for (const handler of listeners) handler(event);
}

/** Limits and identity of the server. */
export function limits() {
  return settings;
}

/** Whether the contract has an operation, such as `has("POST /v1/images/segment")`. */
export function has(operation) {
  return operations.has(operation);
}

/** The names of an operation's query parameters. */
export function parameters(operation) {
  return (operations.get(operation)?.parameters ?? []).filter((one) => one.in === "query").map((one) => one.name);
}

/** Reads the contract and the limits. */
export async function discover() {
  const [contract, limited] = await Promise.all([get("/openapi.json"), get("/console/settings.json")]);
  operations = new Map();
  for (const [path, methods] of Object.entries(contract.paths)) {
    for (const [method, operation] of Object.entries(methods)) operations.set(`${method.toUpperCase()} ${path}`, operation);
  }
  settings = limited;
}

/** Asks the server. `body` is a string, a Blob or a plain object (sent as JSON); the answer is the Response. With
 * `quiet` a missing key is the caller's to tell. */
export async function send(method, path, { body, headers = {}, accept = "application/json", signal, quiet = false } = {}) {
  const all = { accept, ...headers };
  if (key()) all.authorization = `Bearer ${key()}`;
  if (body !== undefined && !(body instanceof Blob) && typeof body !== "string") {
    body = JSON.stringify(body);
    all["content-type"] = "application/json";
  }
  let response;
  try {
    response = await fetch(path, { method, body, headers: all, signal, cache: "no-store", credentials: "omit", redirect: "error" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    lost();
    throw new Failure(0, t("failure.unreachable"));
  }
  if (!reachable) {
    reachable = true;
    tell("found");
  }
  if (response.ok) return response;
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    // A proxy may answer with anything.
  }
  if (response.status === 401 && !quiet) tell("refused");
  throw new Failure(response.status, problem.detail ?? problem.error ?? t("failure.status", { status: response.status }), {
    errors: problem.errors ?? [],
    requestId: problem.request_id ?? response.headers.get("x-request-id") ?? "",
    retryAfter: response.headers.get("retry-after"),
  });
}

/** Whether the server is there is asked until it is. */
function lost() {
  if (!reachable) return;
  reachable = false;
  tell("lost");
  const again = async () => {
    if (reachable) return;
    try {
      const answer = await fetch("/health/ready", { cache: "no-store" });
      if (answer.ok && !reachable) {
        reachable = true;
        tell("found");
      }
    } catch {
      // Not yet.
    }
    if (!reachable) setTimeout(again, 1500);
  };
  setTimeout(again, 1500);
}

/** Done once the server answers again, or once `signal` is aborted. */
export function reached(signal) {
  return new Promise((done) => {
    if (reachable || signal?.aborted) { done(); return; }
    const end = () => { stop(); signal?.removeEventListener("abort", end); done(); };
    const stop = listen((event) => { if (event === "found") end(); });
    signal?.addEventListener("abort", end);
  });
}

/** The JSON at a path. */
export async function get(path, options) {
  return (await send("GET", path, options)).json();
}

/** The JSON that a POST answers. */
export async function post(path, body, options) {
  return (await send("POST", path, { body, ...options })).json();
}

/** The stages of `server-timing`: `[["decode", 0.4], ...]` in milliseconds. */
export function timings(response) {
  const text = response.headers.get("server-timing") ?? "";
  return [...text.matchAll(/([\w-]+);dur=([\d.]+)/g)].map((found) => [found[1], Number(found[2])]);
}

/** A path with values in it, each encoded: path`/v1/users/${id}`. A browser takes `.` and `..` out of an address, encoded or not: they
 * would name something else. */
export function path(parts, ...values) {
  const dots = values.find((one) => one === "." || one === "..");
  if (dots) throw new Failure(null, t("path.dots", { id: dots }));
  return parts.reduce((whole, part, index) => whole + encodeURIComponent(values[index - 1]) + part);
}
