// The map of France: one SVG drawn from départements' rings. Its units are degrees, shrunk east-west per territory.

const SVG = "http://www.w3.org/2000/svg";
const PARIS = { west: 1.95, east: 2.75, south: 48.62, north: 49.08 };
const MARGIN = 0.09; // degrees, about 10 km
const SMALLEST = 0.04; // degrees of height shown at the closest zoom

const territoryOf = (code) => (code.startsWith("97") ? code : "mainland");

function element(name, attributes, parent) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  parent?.append(made);
  return made;
}

function box(departments) {
  const rings = departments.flatMap((department) => department.rings);
  const xs = rings.flatMap((ring) => ring.filter((_, index) => index % 2 === 0));
  const ys = rings.flatMap((ring) => ring.filter((_, index) => index % 2 === 1));
  return { west: Math.min(...xs), east: Math.max(...xs), south: Math.min(...ys), north: Math.max(...ys) };
}

function outline(rings, shrink) {
  return rings
    .map((ring) => {
      const points = [];
      for (let at = 0; at < ring.length - 2; at += 2) {
        points.push(`${(ring[at] * shrink).toFixed(4)},${(-ring[at + 1]).toFixed(4)}`);
      }
      return `M${points.join("L")}Z`;
    })
    .join("");
}

export class FranceMap {
  /**
   * `onMove({latitude, longitude, department})` is told of each click and key that sets the marker,
   * `onShow(name)` of each change of what is shown: "mainland", "paris", "971" ...
   */
  constructor(svg, departments, { onMove, onShow }) {
    this.svg = svg;
    this.onMove = onMove;
    this.onShow = onShow;
    this.paths = new Map();
    this.point = null;
    this.chosen = "";
    this.shrinks = new Map();
    this.views = this.#views(departments);
    for (const each of departments) this.#draw(each);
    this.marker = element("g", { class: "marker", visibility: "hidden" }, svg);
    element("circle", { r: 11, class: "halo" }, this.marker);
    element("circle", { r: 4.5, class: "dot" }, this.marker);
    this.#look({ ...this.views.get("mainland") });
    svg.addEventListener("click", (event) => this.#clicked(event));
    svg.addEventListener("keydown", (event) => this.#pressed(event));
    new ResizeObserver(() => this.#place()).observe(svg);
  }

  #views(departments) {
    const groups = new Map();
    for (const each of departments) {
      const territory = territoryOf(each.code);
      groups.set(territory, [...(groups.get(territory) ?? []), each]);
    }
    const views = new Map();
    for (const [territory, members] of groups) {
      const bounds = box(members);
      this.shrinks.set(territory, Math.cos(((bounds.south + bounds.north) / 2) * (Math.PI / 180)));
      views.set(territory, this.#view(territory, bounds));
    }
    views.set("paris", this.#view("mainland", PARIS));
    return views;
  }

  #view(territory, bounds) {
    const shrink = this.shrinks.get(territory);
    const margin = (bounds.north - bounds.south) * 0.03;
    return {
      territory,
      x: bounds.west * shrink - margin,
      y: -bounds.north - margin,
      width: (bounds.east - bounds.west) * shrink + 2 * margin,
      height: bounds.north - bounds.south + 2 * margin,
    };
  }

  #draw(department) {
    const shrink = this.shrinks.get(territoryOf(department.code));
    const path = element("path", { d: outline(department.rings, shrink), class: "department" }, this.svg);
    element("title", {}, path).textContent = `${department.name} (${department.code})`;
    path.dataset.code = department.code;
    this.paths.set(department.code, path);
  }

  /** A small picture of a view, for its button. */
  thumbnail(name) {
    const view = this.views.get(name);
    const picture = element("svg", { viewBox: this.#viewBox(view), "aria-hidden": "true" });
    for (const [code, path] of this.paths) {
      if (territoryOf(code) === view.territory) element("path", { d: path.getAttribute("d") }, picture);
    }
    return picture;
  }

  #viewBox(view) {
    return [view.x, view.y, view.width, view.height].map((number) => number.toFixed(4)).join(" ");
  }

  /** Show a part of France whole. */
  show(name) {
    this.#look({ ...this.views.get(name) });
    this.onShow(name);
  }

  zoom(factor) {
    const height = this.view.height * factor;
    const whole = this.views.get(this.view.territory);
    if (height >= whole.height) return this.show(this.view.territory);
    if (height < SMALLEST) return undefined;
    const width = this.view.width * factor;
    const centre = this.#focus();
    return this.#look({ ...this.view, x: centre.x - width / 2, y: centre.y - height / 2, width, height });
  }

  /** Where zooming goes: the marker, the chosen département, else the middle of the view. */
  #focus() {
    if (this.point?.territory === this.view.territory) return this.#xy(this.point);
    const path = this.paths.get(this.chosen);
    const { x, y, width, height } = path && territoryOf(this.chosen) === this.view.territory ? path.getBBox() : this.view;
    return { x: x + width / 2, y: y + height / 2 };
  }

  #look(view) {
    this.view = view;
    this.svg.setAttribute("viewBox", this.#viewBox(view));
    this.#place();
  }

  #xy({ latitude, longitude, territory }) {
    return { x: longitude * this.shrinks.get(territory), y: -latitude };
  }

  /** Draw the marker at its size whatever the zoom. */
  #place() {
    this.marker?.setAttribute("visibility", this.point ? "visible" : "hidden");
    if (!this.point) return;
    const { width, height } = this.svg.getBoundingClientRect();
    const unit = Math.max(this.view.width / width, this.view.height / height);
    const { x, y } = this.#xy(this.point);
    if (Number.isFinite(unit)) this.marker.setAttribute("transform", `translate(${x} ${y}) scale(${unit})`);
  }

  /** Code of the département drawn at a point of this territory, or "". */
  #codeAt(territory, x, y) {
    const spot = new DOMPoint(x, y);
    for (const [code, path] of this.paths) {
      if (territoryOf(code) === territory && path.isPointInFill(spot)) return code;
    }
    return "";
  }

  /** Put the marker at degrees, wherever in France they are; null takes it away. Returns the département or "". */
  mark(latitude, longitude) {
    this.point = null;
    let found = "";
    if (latitude !== null) {
      for (const [territory, shrink] of this.shrinks) {
        found ||= this.#codeAt(territory, longitude * shrink, -latitude);
      }
      this.point = { latitude, longitude, territory: found ? territoryOf(found) : this.view.territory };
    }
    this.choose(found);
    return found;
  }

  /** Highlight a département, and show its territory. */
  choose(code) {
    this.paths.get(this.chosen)?.classList.remove("chosen");
    this.chosen = code;
    const path = this.paths.get(code);
    path?.classList.add("chosen");
    if (path && territoryOf(code) !== this.view.territory) this.show(territoryOf(code));
    this.#place();
  }

  /** Whether a point is in or about a département: its border is drawn coarsely. */
  isNear(code, { latitude, longitude }) {
    const path = this.paths.get(code);
    if (!path) return false;
    const { x, y, width, height } = path.getBBox();
    const [east, south] = [longitude * this.shrinks.get(territoryOf(code)), -latitude];
    return east > x - MARGIN && east < x + width + MARGIN && south > y - MARGIN && south < y + height + MARGIN;
  }

  #clicked(event) {
    const { x, y } = new DOMPoint(event.clientX, event.clientY).matrixTransform(this.svg.getScreenCTM().inverse());
    this.#moveTo(x, y);
  }

  #pressed(event) {
    const step = (this.view.height / 100) * (event.shiftKey ? 0.1 : 1);
    const moves = { ArrowUp: [0, -step], ArrowDown: [0, step], ArrowLeft: [-step, 0], ArrowRight: [step, 0] };
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    if (event.key in moves) {
      const from = this.#focus();
      this.#moveTo(from.x + moves[event.key][0], from.y + moves[event.key][1]);
    } else if (event.key === "+" || event.key === "=") this.zoom(0.5);
    else if (event.key === "-") this.zoom(2);
    else return;
    event.preventDefault();
  }

  #moveTo(x, y) {
    const longitude = Number((x / this.shrinks.get(this.view.territory)).toFixed(4));
    const latitude = Number((-y).toFixed(4));
    this.onMove({ latitude, longitude, department: this.mark(latitude, longitude) });
  }
}
