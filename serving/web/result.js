// Shows what the API answered: the figure, its reasons, and the session's table.

import { fill } from "./texts.js";

const KEPT = 200; // rows of the session's table

const $ = (id) => document.getElementById(id);

function make(tag, className, text) {
  const made = document.createElement(tag);
  made.className = className;
  made.textContent = text;
  return made;
}

function percent(share, language, digits = 0) {
  const style = { style: "percent", minimumFractionDigits: digits, maximumFractionDigits: digits };
  return new Intl.NumberFormat(language, style).format(share);
}

/**
 * idle, loading, ready, key, invalid, later or error; the text says it. But for the first moments (loading) a
 * figure is never shown beside an accident it is not for.
 */
export function showState(state, text) {
  $("result").dataset.state = state;
  if ($("state").textContent !== text) $("state").textContent = text;
  $("key-form").hidden = state !== "key";
  if (state === "ready" || state === "loading") return;
  $("answer").hidden = true;
  $("summary").hidden = state === "idle";
  $("summary").removeAttribute("data-band");
  $("summary").textContent = text;
}

export function showAnswer(answer, texts, language) {
  const p = percent(answer.probability, language);
  const band = texts.bands[answer.band] ?? answer.band;
  $("answer").hidden = $("summary").hidden = false;
  $("probability").textContent = p;
  $("band").textContent = band;
  $("result").dataset.band = $("summary").dataset.band = answer.band;
  $("summary").replaceChildren(make("span", "", p), make("span", "", band));
  $("alert").textContent = answer.alert ? texts.inBudget : texts.outOfBudget;
  $("alert").classList.toggle("on", answer.alert);
  $("gauge-fill").style.width = `${100 * answer.probability}%`;
  $("gauge-mark").style.left = `${100 * answer.threshold}%`;
  $("none").textContent = percent(0, language);
  $("certain").textContent = percent(1, language);
  $("threshold").textContent = fill(texts.threshold, { p: percent(answer.threshold, language) });
  $("reasons").replaceChildren(...reasons(answer.reasons ?? [], texts, language));
  $("ask").hidden = !answer.ask;
  $("ask").textContent = answer.ask?.text ?? "";
  $("notes").replaceChildren(...(answer.notes ?? []).map(noteItem));
  showModel(answer.model, texts);
}

/** Notes are the API's own, in English. */
function noteItem(note) {
  const made = make("li", "", note);
  made.lang = "en";
  return made;
}

/** Name and version in the header, and the banner of a model learnt from synthetic data. */
export function showModel(model, texts) {
  $("model").textContent = fill(texts.model, model);
  $("synthetic").hidden = !model.synthetic;
}

/** One bar a reason, to the right if it raises the risk, to the left if it lowers it. */
function reasons(list, texts, language) {
  const widest = Math.max(0.5, ...list.map((reason) => Math.abs(reason.weight)));
  const number = new Intl.NumberFormat(language, { signDisplay: "always", minimumFractionDigits: 2, maximumFractionDigits: 2 });
  return list.map((reason) => {
    const item = make("li", reason.weight > 0 ? "raises" : "lowers", "");
    const track = make("span", "track", "");
    const bar = make("span", "bar", "");
    const direction = make("span", "unseen", reason.weight > 0 ? texts.raises : texts.lowers);
    bar.style.width = `${(50 * Math.abs(reason.weight)) / widest}%`;
    track.append(bar);
    item.append(make("span", "words", reason.text), direction, track, make("span", "weight", number.format(reason.weight)));
    return item;
  });
}

/** The predictions of this session, newest first. */
export class Session {
  constructor() {
    this.predictions = [];
  }

  add(prediction) {
    this.predictions = [prediction, ...this.predictions].slice(0, KEPT);
  }

  show(texts, language) {
    $("empty").hidden = this.predictions.length > 0;
    $("scroll").hidden = this.predictions.length === 0;
    $("rows").replaceChildren(...this.predictions.map((each) => row(each, texts, language)));
  }
}

function row({ asked, incident, time, place, answer }, texts, language) {
  const made = document.createElement("tr");
  const clock = new Intl.DateTimeFormat(language, { timeStyle: "medium", hourCycle: "h23" }).format(asked);
  const band = make("td", "", "");
  band.append(make("span", "band", texts.bands[answer.band] ?? answer.band));
  band.firstChild.dataset.band = answer.band;
  made.append(
    make("td", "number", clock),
    make("td", "wrap", incident),
    make("td", "number", time),
    make("td", "", place),
    make("td", "number right", percent(answer.probability, language, 1)),
    band,
    make("td", "", answer.alert ? texts.yes : texts.no),
    make("td", "number", answer.model.version),
    make("td", "id", answer.request_id),
  );
  return made;
}
