// The fields: what they offer, what they say, and the accident they make as POST /predict takes it.

import { fill } from "./texts.js";

const LISTS = ["light", "weather", "road_class", "junction", "built_up"];
const SPEEDS = [20, 30, 50, 70, 80, 90, 110, 130];
const MOST = 20; // vehicles of a kind

// BAAC categories of what a caller can tell apart; the model groups them the same way.
const KINDS = { car: 7, motorcycle: 33, bicycle: 1, scooter: 50, moped: 2, van: 10, lorry: 14, bus: 37 };

const $ = (id) => document.getElementById(id);

function option(value, text) {
  const made = document.createElement("option");
  made.value = value;
  made.textContent = text;
  return made;
}

/** "48,85" or "48.85" as a number; null for an empty field; NaN for anything else. */
function degrees(input) {
  const text = input.value.trim().replace(",", ".");
  return text === "" ? null : Number(text);
}

export class Form {
  /** `onChange()` is told when any field changed. */
  constructor(departments, onChange) {
    this.onChange = onChange;
    this.counts = new Map(Object.keys(KINDS).map((kind) => [kind, 0]));
    this.departments = departments;
    this.#buildVehicles();
    this.#offerDepartments({});
    $("now").addEventListener("click", () => this.#setNow() ?? onChange());
    this.#setNow();
    $("form").addEventListener("submit", (event) => event.preventDefault());
    for (const input of document.querySelectorAll("#form select, #form input")) {
      input.addEventListener("input", () => onChange(input.id));
    }
  }

  #setNow() {
    const now = new Date();
    $("time").value = new Date(now - now.getTimezoneOffset() * 60_000).toISOString().slice(0, 16);
  }

  #buildVehicles() {
    for (const kind of this.counts.keys()) {
      const row = document.createElement("div");
      const name = document.createElement("span");
      const fewer = document.createElement("button");
      const count = document.createElement("output");
      const more = document.createElement("button");
      row.className = "vehicle";
      row.dataset.kind = kind;
      fewer.type = more.type = "button";
      fewer.textContent = "−";
      more.textContent = "+";
      fewer.addEventListener("click", () => this.#count(kind, -1) ?? this.onChange());
      more.addEventListener("click", () => this.#count(kind, 1) ?? this.onChange());
      row.append(name, fewer, count, more);
      $("vehicles").append(row);
      this.#count(kind, 0);
    }
  }

  #count(kind, change) {
    const count = Math.min(MOST, Math.max(0, this.counts.get(kind) + change));
    this.counts.set(kind, count);
    const row = $("vehicles").querySelector(`[data-kind=${kind}]`);
    row.querySelector("output").textContent = count;
    row.classList.toggle("some", count > 0);
  }

  /** Write the language into what the form itself offers; `words` are those of /words, null until they are here. */
  setLanguage(texts, words) {
    this.texts = texts;
    for (const [kind, name] of Object.entries(texts.kinds)) {
      const row = $("vehicles").querySelector(`[data-kind=${kind}]`);
      const [fewer, more] = row.querySelectorAll("button");
      row.querySelector("span").textContent = name;
      fewer.setAttribute("aria-label", fill(texts.fewer, { what: name }));
      more.setAttribute("aria-label", fill(texts.more, { what: name }));
      row.querySelector("output").setAttribute("aria-label", name);
    }
    const speeds = SPEEDS.map((speed) => [speed, `${speed} km/h`]);
    this.#offer("speed_limit", speeds);
    if (!words) return; // the lists keep what they have, and what is chosen
    for (const name of LISTS) this.#offer(name, Object.entries(words.codes[name]));
    this.#offerDepartments(words.codes.department);
  }

  /** Those with a shape by their full names, then the overseas ones the map does not draw. */
  #offerDepartments(codes) {
    const drawn = this.departments.map((each) => [each.code, each.name]);
    const others = Object.entries(codes).filter(([code]) => !this.departments.some((each) => each.code === code));
    this.#offer("department", [...drawn, ...others].map(([code, name]) => [code, `${code} ${name}`]), "–");
  }

  /** Fill a list anew, keeping what is chosen. */
  #offer(id, choices, nothing = this.texts.unsaid) {
    const chosen = $(id).value || "";
    const options = choices.map(([value, text]) => option(value, text));
    $(id).replaceChildren(option("", nothing), ...options);
    $(id).value = chosen;
  }

  /** Show a place found on the map. */
  setPlace({ latitude, longitude, department }) {
    $("latitude").value = latitude ?? "";
    $("longitude").value = longitude ?? "";
    $("department").value = department;
  }

  get coordinates() {
    return { latitude: degrees($("latitude")), longitude: degrees($("longitude")) };
  }

  get department() {
    return $("department").value;
  }

  /** The place in words: the département, and the point if there is one. */
  get placeText() {
    const { latitude, longitude } = this.coordinates;
    const name = $("department").selectedOptions[0]?.value ? $("department").selectedOptions[0].textContent : "";
    const point = latitude === null ? "" : `${latitude.toFixed(3)}, ${longitude.toFixed(3)}`;
    return [name, point].filter(Boolean).join(" · ");
  }

  get timeText() {
    return $("time").value.replace("T", " ");
  }

  get incident() {
    return $("accident_id").value.trim();
  }

  /** The accident for POST /predict; null while time or place is missing or a degree is no number. */
  accident() {
    const place = this.#place();
    if (!place || !$("time").value) return null;
    const accident = { time: $("time").value, place };
    if (this.incident) accident.accident_id = this.incident;
    for (const name of [...LISTS, "speed_limit"]) {
      if ($(name).value) accident[name] = Number($(name).value);
    }
    const pedestrian = document.querySelector("[name=pedestrian]:checked").value;
    if (pedestrian) accident.pedestrian = pedestrian === "yes";
    const vehicles = this.#vehicles();
    if (vehicles.length) accident.vehicles = vehicles;
    return accident;
  }

  #place() {
    const { latitude, longitude } = this.coordinates;
    if (latitude === null && longitude === null) return this.department ? { department: this.department } : null;
    const sound = Number.isFinite(latitude) && Number.isFinite(longitude) && latitude !== null && longitude !== null;
    if (!sound) return null;
    return this.department ? { latitude, longitude, department: this.department } : { latitude, longitude };
  }

  #vehicles() {
    return [...this.counts].flatMap(([kind, count]) => Array.from({ length: count }, () => ({ category: KINDS[kind] })));
  }

  /** What is wrong with the degrees before anyone is asked: [{where, message}]. */
  mistakes() {
    const { latitude, longitude } = this.coordinates;
    const found = [];
    for (const [name, value, example] of [["latitude", latitude, "48.8566"], ["longitude", longitude, "2.3522"]]) {
      if (value !== null && !Number.isFinite(value)) found.push({ where: `place.${name}`, message: fill(this.texts.notANumber, { example }) });
    }
    if ((latitude === null) !== (longitude === null)) {
      const missing = latitude === null ? "latitude" : "longitude";
      found.push({ where: `place.${missing}`, message: this.texts.bothDegrees });
    }
    return found;
  }

  /** Show what is wrong at the fields. Returns what no field is responsible for. */
  showMistakes(details) {
    for (const old of document.querySelectorAll(".mistake")) old.remove();
    for (const input of document.querySelectorAll("[aria-invalid]")) {
      input.removeAttribute("aria-invalid");
      input.removeAttribute("aria-describedby");
    }
    return details.filter((detail) => !this.#showMistake(detail));
  }

  #showMistake({ where, message }) {
    const fields = [...document.querySelectorAll("[data-field]")];
    const field =
      fields.find((each) => each.dataset.field === where) ??
      fields.find((each) => where.startsWith(each.dataset.field) || each.dataset.field.startsWith(`${where}.`));
    if (!field) return false;
    const input = field.querySelector("input, select, button");
    const said = document.createElement("p");
    said.className = "mistake";
    said.id = `mistake-${input.id || field.dataset.field}`;
    said.textContent = message;
    field.append(said);
    input.setAttribute("aria-invalid", "true");
    input.setAttribute("aria-describedby", said.id);
    return true;
  }

  /** Empty every field but the time, which becomes now. */
  clear() {
    $("form").reset();
    for (const kind of this.counts.keys()) this.#count(kind, -MOST);
    this.#setNow();
    this.showMistakes([]);
  }
}
