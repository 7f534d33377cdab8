// Talks to the API. Every outcome is an object the page can show; nothing is thrown but an abort.

const KEY = "accidents-api-key";
const RETRY = new Set([408, 429, 502, 503, 504]);

export function key() {
  return sessionStorage.getItem(KEY) ?? "";
}

export function setKey(text) {
  if (text) sessionStorage.setItem(KEY, text);
  else sessionStorage.removeItem(KEY);
}

/** The words of the codes in a language: {codes: {column: {code: word}}, ...}, or null. */
export async function words(language) {
  const outcome = await call(`words?language=${language}`, {});
  return outcome.kind === "answer" ? outcome.answer : null;
}

/** Whether predictions can be made, and by which model: {ready, model}. */
export async function readiness() {
  try {
    const response = await fetch("health/ready", { cache: "no-store" });
    return await response.json();
  } catch {
    return { ready: false, model: null };
  }
}

/**
 * One accident's prediction.
 * {kind: "answer", answer} | {kind: "key", code} | {kind: "invalid", details, message}
 * | {kind: "later", code, seconds} | {kind: "error", message}
 */
export function predict(accident, language, signal) {
  return call(`predict?language=${language}`, {
    method: "POST",
    body: JSON.stringify(accident),
    headers: { "Content-Type": "application/json" },
    signal,
  });
}

async function call(path, options) {
  const headers = { ...options.headers };
  if (key()) headers["X-API-Key"] = key();
  let response;
  try {
    response = await fetch(path, { ...options, headers, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    return { kind: "later", code: "offline", seconds: 3 };
  }
  const content = await response.json().catch((error) => {
    if (error.name === "AbortError") throw error;
    return null;
  });
  return response.ok && content ? { kind: "answer", answer: content } : failure(response, content?.error ?? {});
}

function failure(response, error) {
  const code = error.code ?? "";
  const details = error.details ?? [];
  if (response.status === 401) return { kind: "key", code: key() ? "key_wrong" : "key_missing" };
  if (RETRY.has(response.status)) return { kind: "later", code, seconds: wait(response) };
  if (response.status === 422 && details.length) return { kind: "invalid", details };
  return { kind: "error", message: error.message ?? `HTTP ${response.status}` };
}

/** Seconds to wait before trying again: what the answer says, within reason. */
function wait(response) {
  const said = Number(response.headers.get("Retry-After"));
  return Math.min(60, Math.max(1, said || 2));
}
