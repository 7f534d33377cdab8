// The page of a control room: a place and a few fields in, a probability and its reasons out.

import * as client from "./client.js";
import { Form } from "./form.js";
import { FranceMap } from "./map.js";
import { Session, showAnswer, showModel, showState } from "./result.js";
import { LANGUAGES, TEXTS, applyTexts, fill } from "./texts.js";

const PAUSE = 400; // ms without a change before the API is asked: each answer is a record in its log
const LEFT = 600_000; // ms without asking after which what is filled in is another accident
const LONGEST_WAIT = 15_000; // ms
const WATCH = 3000; // ms between looks at a service that is not ready, or has no words
const LANGUAGE = "accidents-language";
const INSETS = ["mainland", "paris", "971", "972", "973", "974", "976"];

const $ = (id) => document.getElementById(id);

class App {
  constructor(departments) {
    this.departments = departments;
    this.words = new Map();
    this.session = new Session();
    this.model = null;
    this.ready = true;
    this.tries = 0; // in a row that the service was not there
    this.form = new Form(departments, (changed) => this.#changed(changed));
    this.map = new FranceMap($("map"), departments, {
      onMove: (place) => this.#placed(place),
      onShow: (name) => this.#press(name),
    });
    this.#buildInsets();
    $("zoom-in").addEventListener("click", () => this.map.zoom(0.5));
    $("zoom-out").addEventListener("click", () => this.map.zoom(2));
    $("english").addEventListener("click", () => this.setLanguage("en"));
    $("french").addEventListener("click", () => this.setLanguage("fr"));
    $("new").addEventListener("click", () => this.#startAnew());
    $("key-form").addEventListener("submit", (event) => this.#keyGiven(event));
    $("forget").addEventListener("click", () => this.#forgetKey());
  }

  get texts() {
    return TEXTS[this.language];
  }

  async setLanguage(language) {
    this.language = language;
    localStorage.setItem(LANGUAGE, language);
    $("english").setAttribute("aria-pressed", String(language === "en"));
    $("french").setAttribute("aria-pressed", String(language === "fr"));
    this.#write();
    await this.#loadWords(language);
    this.#ask(0);
  }

  /** Put every text on the page in the language. */
  #write() {
    applyTexts(this.texts, this.language);
    this.form.setLanguage(this.texts, this.words.get(this.language));
    for (const name of INSETS) $(`inset-${name}`).lastChild.textContent = this.#insetName(name);
    this.session.show(this.texts, this.language);
    $("forget").hidden = !client.key();
    if (this.model) showModel(this.model, this.texts);
  }

  /** Take in which model there is; while there is none, look again until there is. */
  heard({ ready, model }) {
    this.ready = ready;
    if (model) {
      this.model = model;
      showModel(model, this.texts);
    }
    if (!this.form.accident()) this.#showWaiting();
    if (!ready) setTimeout(async () => this.heard(await client.readiness()), WATCH);
  }

  /** What is shown while there is no accident to ask about. */
  #showWaiting() {
    const mistakes = this.form.mistakes();
    this.form.showMistakes(mistakes);
    if (mistakes.length) showState("invalid", this.texts.invalid);
    else if (this.ready) showState("idle", this.texts.idle);
    else showState("later", this.texts.model_unavailable);
  }

  async #loadWords(language) {
    if (!this.words.has(language)) {
      const found = await client.words(language);
      if (!found) {
        setTimeout(() => this.#loadWords(language), WATCH);
        return;
      }
      this.words.set(language, found);
    }
    if (language === this.language) this.form.setLanguage(this.texts, this.words.get(language));
  }

  #insetName(name) {
    return this.texts[name] ?? this.departments.find((each) => each.code === name).name;
  }

  #buildInsets() {
    for (const name of INSETS) {
      const button = document.createElement("button");
      button.type = "button";
      button.id = `inset-${name}`;
      button.append(this.map.thumbnail(name), document.createElement("span"));
      button.addEventListener("click", () => this.map.show(name));
      $("territories").append(button);
    }
    this.#press("mainland");
  }

  #press(name) {
    for (const each of INSETS) $(`inset-${each}`).setAttribute("aria-pressed", String(each === name));
  }

  #placed(place) {
    this.form.setPlace(place);
    $("spot").textContent = this.form.placeText;
    this.#changed();
  }

  #changed(field) {
    if (field === "latitude" || field === "longitude") this.#readDegrees();
    if (field === "department") this.#departmentChosen();
    this.#ask(PAUSE);
  }

  #readDegrees() {
    const { latitude, longitude } = this.form.coordinates;
    const sound = latitude !== null && longitude !== null && Math.abs(latitude) <= 90 && Math.abs(longitude) <= 180;
    const department = sound ? this.map.mark(latitude, longitude) : this.map.mark(null, null);
    $("department").value = department;
  }

  /** A département chosen from the list is the place by itself, or corrects that of a point near it. */
  #departmentChosen() {
    const code = this.form.department;
    const { latitude, longitude } = this.form.coordinates;
    const kept = code && latitude !== null && longitude !== null && this.map.isNear(code, { latitude, longitude });
    if (!kept) {
      this.map.mark(null, null);
      this.form.setPlace({ department: code });
    }
    this.map.choose(code);
  }

  #startAnew() {
    this.inHand = null;
    this.form.clear();
    this.map.mark(null, null);
    this.map.show("mainland");
    this.#ask(0);
    $("map").focus();
  }

  /** Ask the API in `pause` ms, unless something changes before. */
  #ask(pause) {
    clearTimeout(this.timer);
    this.asking?.abort();
    const accident = this.form.accident();
    if (!accident) {
      this.#showWaiting();
      return;
    }
    this.form.showMistakes([]);
    showState("loading", this.texts.loading);
    this.timer = setTimeout(() => this.#predict(accident), pause);
  }

  async #predict(accident) {
    const asking = (this.asking = new AbortController());
    accident.session = this.#accidentInHand();
    const told = { asked: new Date(), incident: this.form.incident, time: this.form.timeText, place: this.form.placeText };
    try {
      const outcome = await client.predict(accident, this.language, asking.signal);
      if (!asking.signal.aborted) this.#outcome(outcome, told, accident);
    } catch (error) {
      if (error.name !== "AbortError") throw error;
    }
  }

  #outcome(outcome, told, accident) {
    const { texts } = this;
    this.tries = outcome.kind === "later" ? this.tries + 1 : 0;
    if (outcome.kind === "answer") {
      this.model = outcome.answer.model;
      this.session.add({ ...told, answer: outcome.answer });
      this.session.show(texts, this.language);
      showAnswer(outcome.answer, texts, this.language);
      showState("ready", texts.ready);
    } else if (outcome.kind === "key") {
      showState("key", texts[outcome.code]);
      $("key").focus();
    } else if (outcome.kind === "invalid") {
      const others = this.form.showMistakes(outcome.details);
      showState("invalid", [texts.invalid, ...others.map((each) => `${each.where}: ${each.message}`)].join(" "));
    } else if (outcome.kind === "later") {
      showState("later", texts[outcome.code] ?? texts.busy);
      this.timer = setTimeout(() => this.#predict(accident), this.#wait(outcome.seconds));
    } else {
      showState("error", fill(texts.failed, outcome));
    }
  }

  /** The word for the accident that is being filled in: of its answers only the last counts. */
  #accidentInHand() {
    const now = Date.now();
    if (!this.inHand || now - this.askedAt > LEFT) {
      this.inHand = [...crypto.getRandomValues(new Uint8Array(16))].map((byte) => byte.toString(16).padStart(2, "0")).join("");
    }
    this.askedAt = now;
    return this.inHand;
  }

  /** Milliseconds before trying again: what the API asks for, and longer each time it did not help. */
  #wait(seconds) {
    return Math.min(LONGEST_WAIT, seconds * 1000 * 1.5 ** (this.tries - 1));
  }

  #keyGiven(event) {
    event.preventDefault();
    client.setKey($("key").value.trim());
    $("key").value = "";
    $("forget").hidden = !client.key();
    this.#ask(0);
  }

  #forgetKey() {
    client.setKey("");
    $("forget").hidden = true;
  }
}

function firstLanguage() {
  const wanted = [localStorage.getItem(LANGUAGE), ...navigator.languages].map((each) => each?.slice(0, 2));
  return wanted.find((each) => LANGUAGES.includes(each)) ?? "en";
}

// The model is known before there is a map to click: its banner moves what is below.
const [shapes, readiness] = await Promise.all([
  fetch("static/departments.json").then((response) => response.json()),
  client.readiness(),
]);
const app = new App(shapes.departments);
app.setLanguage(firstLanguage());
app.heard(readiness);
