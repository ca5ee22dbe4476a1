// Planes side by side: surfaces that turn together, and their contours. A point under the pointer is marked in all, and read out.
const FLOOR = 0.15; // of the height, free under the surface for marks
const PIN = 0.14; // of the height, the length of the pin that marks a point
const TALL = 2; // times the height of the scale, how far a wall goes on above it, where nothing of it is drawn
const BEST = "#d55e00"; // the lowest value; open where it was not measured
const TURN = 0.12; // radians a key turns the camera by

class Planes {
  constructor(figure) {
    this.figure = figure;
    this.camera = null;
    this.waiting = false;
    const { panels } = figure.page;
    const grid = element("div", { className: `planes ${panels.length === 1 ? "one" : "several"}` });
    figure.host.append(grid);
    this.panels = panels.map((panel) => new Plane(this, panel, grid));
    this.arrange = balanced(grid, 300);
    this.arrange();
    this.charts = figure.page.charts && figure.page.charts.length ? new Charts(figure) : null;
  }

  get plots() { return [...this.panels.flatMap((panel) => panel.plots), ...(this.charts ? this.charts.plots : [])]; }

  redraw() {
    this.panels.forEach((panel, place) => { panel.section.hidden = this.figure.away(place); });
    this.arrange();
    this.panels.forEach((panel) => panel.redraw());
    if (this.charts) this.charts.redraw();
    stage.wake();
  }

  reset() {
    this.camera = null;
    for (const plot of this.plots) {
      if (!plot.live) continue;
      if (plot.solid) Plotly.relayout(plot.box, { "scene.camera": firstCamera(plot.width) });
      else Plotly.relayout(plot.box, { "xaxis.autorange": false, "xaxis.range": plot.range.x, "yaxis.range": plot.range.y });
    }
  }

  // Marking a point redraws, and redrawing fires the event again: act once a frame, and only on another point.
  link(x, y) {
    const changed = !this.last || this.last[0] !== x || this.last[1] !== y;
    this.last = [x, y];
    if (!changed || this.waiting) return;
    this.waiting = true;
    requestAnimationFrame(() => { this.waiting = false; this.panels.forEach((panel) => panel.point(...this.last)); });
  }

  // All surfaces are looked at from one place.
  turn(camera, from) {
    if (JSON.stringify(camera) === JSON.stringify(this.camera)) return;
    this.camera = camera;
    if (this.turning) return;
    this.turning = true;
    requestAnimationFrame(() => {
      this.turning = false;
      const solids = this.plots.filter((plot) => plot.solid && plot.live && plot !== from);
      solids.forEach((plot) => Plotly.relayout(plot.box, { "scene.camera": this.camera }));
    });
  }
}

class Plane {
  constructor(planes, panel, grid) {
    this.planes = planes;
    this.figure = planes.figure;
    this.page = planes.figure.page;
    this.panel = panel;
    this.at = null;
    const { show } = this.page;
    this.surface = show.includes("surface") ? this.solid() : null;
    this.contour = show.includes("contour") ? this.flat() : null;
    this.readout = element("output", { className: "readout", textContent: "Point at a picture, or use the arrow keys, to read a value." });
    this.key = element("p", { className: "key" });
    // Beside living networks, a dead one is a strip that says so; its pictures lie behind a fold.
    const strip = panel.state === "dead" && this.page.panels.some(({ state }) => state !== "dead");
    this.section = element("div", { className: strip ? "panel strip" : "panel" }, element("h4", { textContent: panel.label }));
    this.section.append(element("div", {}, ...[panel.note].filter(Boolean).map((note) => element("p", { className: "note", textContent: note }))));
    this.section.style.setProperty("--rows", 4 + this.plots.length);
    const drawn = [element("div", { className: "pair" }, ...this.plots.map((plot) => plot.node)), this.readout, this.key];
    this.section.append(...(strip ? [behind("Its surface, which says nothing about smoothness", drawn)] : drawn));
    grid.append(this.section);
    this.redraw();
  }

  get plots() { return [this.surface, this.contour].filter(Boolean); }

  get layer() { return this.panel.layers[Math.min(this.figure.state.seed, this.panel.layers.length - 1)]; }

  solid() {
    const label = `Surface of ${this.page.quantity}, ${this.panel.label}; arrow keys turn it, plus and minus zoom`;
    const plot = new Plot(label, (look, width) => this.surfaceSpec(look, width), { solid: true, drawn: (first) => this.drawn(plot, first) });
    plot.node.addEventListener("keydown", (event) => this.turnBy(event));
    return plot;
  }

  flat() {
    const label = `Contours of ${this.page.quantity}, ${this.panel.label}; arrow keys move the point that is read out`;
    const plot = new Plot(label, (look, width) => this.contourSpec(look, width), { drawn: (first) => this.drawn(plot, first) });
    plot.node.addEventListener("keydown", (event) => this.moveBy(event));
    return plot;
  }

  drawn(plot, first) {
    if (first) this.listen(plot);
    if (this.at) this.mark(plot);
  }

  redraw() {
    this.plots.forEach((plot) => plot.redraw());
    const { layer, figure } = this;
    const counts = layer.gaps.reduce((all, gap) => ({ ...all, [gap.word]: (all[gap.word] || 0) + 1 }), {});
    const gaps = Object.entries(counts).map(([word, count]) => `${word} at ${count} point${count > 1 ? "s" : ""}`);
    const at = figure.clippedAt();
    const clipped = at === null ? "" : `pale, or cut off: above ${number(at, 3)}`;
    const parts = [this.panel.key, layer.key, gaps.length ? `× ${gaps.join(", ")}` : "", clipped, ...this.pointWords()];
    this.key.textContent = parts.filter(Boolean).join(" · ");
    if (this.at) this.point(...this.at);
  }

  turnBy(event) {
    const by = { ArrowLeft: [-TURN, 0, 1], ArrowRight: [TURN, 0, 1], ArrowUp: [0, TURN, 1], ArrowDown: [0, -TURN, 1], "+": [0, 0, 0.9], "-": [0, 0, 1.1] }[event.key];
    if (!by || !this.surface.live) return;
    event.preventDefault();
    const camera = structuredClone(this.planes.camera || firstCamera(this.surface.width));
    const { x, y, z } = camera.eye;
    const [far, round, up] = [Math.hypot(x, y, z) * by[2], Math.atan2(y, x) + by[0], Math.asin(z / Math.hypot(x, y, z)) + by[1]];
    const high = Math.min(Math.max(up, -1.5), 1.5);
    camera.eye = { x: far * Math.cos(high) * Math.cos(round), y: far * Math.cos(high) * Math.sin(round), z: far * Math.sin(high) };
    this.planes.turn(camera, null);
  }

  moveBy(event) {
    const by = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key];
    if (!by) return;
    event.preventDefault();
    const { x, y } = this.panel;
    const [i, j] = this.at ? [nearest(x, this.at[0]), nearest(y, this.at[1])] : [Math.floor(x.length / 2), Math.floor(y.length / 2)];
    const inside = (at, axis) => axis[Math.min(Math.max(at, 0), axis.length - 1)];
    this.planes.link(inside((i < 0 ? 0 : i) + (this.at ? by[0] : 0), x), inside((j < 0 ? 0 : j) + (this.at ? by[1] : 0), y));
  }

  texts() {
    return this.layer.values.map((row, j) => row.map((_, i) => this.words(j, i).join("<br>")));
  }

  // The lines of the read-out at row j and column i.
  words(j, i) {
    const gap = this.layer.gaps.find((one) => one.row === j && one.column === i);
    const value = this.layer.values[j][i];
    const known = value === null ? (gap ? gap.word : "NaN") : number(value);
    const error = value !== null && this.layer.errors ? this.layer.errors[j][i] : null;
    const lines = [`x ${number(this.panel.x[i], 3)}, y ${number(this.panel.y[j], 3)}`];
    lines.push(`${this.page.quantity} ${known}${error === null ? "" : ` ± ${number(error, 2)}`}`);
    const how = { i: "interpolated", a: "above the clip by part of the samples" }[this.layer.status[j][i]];
    if (how) lines.push(how);
    for (const other of this.layer.others) {
      if (other.values[j][i] !== null) lines.push(`${other.name} ${number(other.values[j][i], 3)}`);
    }
    return lines;
  }

  // Coordinates of the points of one status: m measured, i interpolated, a above the clip by part of the samples.
  pointsOf(status) {
    const found = { x: [], y: [] };
    this.layer.status.forEach((row, j) => [...row].forEach((letter, i) => {
      if (letter === status && this.layer.values[j][i] !== null) { found.x.push(this.panel.x[i]); found.y.push(this.panel.y[j]); }
    }));
    return found;
  }

  pointWords() {
    const letters = this.layer.status.join("");
    const count = (status) => [...letters].filter((letter) => letter === status).length;
    const sign = this.figure.state.points ? "○ " : "";
    const words = [`${sign}measured: ${count("m")} of ${letters.length} points`];
    if (count("a")) words.push(`${sign ? "▵ " : ""}above the clip by part of the samples: ${count("a")}`);
    if (count("i")) words.push(`${sign ? "unmarked: " : ""}interpolated: ${count("i")}`);
    return words;
  }

  gapPoints() {
    return { x: this.layer.gaps.map((gap) => this.panel.x[gap.column]), y: this.layer.gaps.map((gap) => this.panel.y[gap.row]) };
  }

  heights() {
    const heights = this.layer.values.map((row) => row.map((value) => this.figure.height(value)));
    const [low, high] = this.figure.ends().map((value) => this.figure.height(value));
    return { heights, low, high, floor: low - FLOOR * (high - low) };
  }

  surfaceSpec(look, width) { return { data: this.surfaceTraces(look), layout: this.surfaceLayout(look, width) }; }

  contourSpec(look, width) { return { data: this.contourTraces(look), layout: this.contourLayout(look, width) }; }

  surfaceTraces(look) {
    const { x, y } = this.panel;
    const { heights, low, high, floor } = this.heights();
    // What is higher than the axis is not drawn: walls are cut where they leave it.
    const top = high + TALL * (high - low);
    const cut = heights.map((row) => row.map((v) => (v === null ? null : Math.max(Math.min(v, top), low))));
    const colours = { colorscale: this.page.colours, cmin: low, cmax: high, showscale: !this.contour, colorbar: this.bar(look) };
    const hover = { hovertext: this.texts(), hoverinfo: "text" };
    const flat = (grid) => grid.flat();
    const body = x.length > 1 && y.length > 1
      ? { type: "surface", x, y, z: cut, surfacecolor: heights, ...colours, ...hover, connectgaps: false,
          lighting: { ambient: 0.75, diffuse: 0.5, specular: 0.08, roughness: 0.8 }, lightposition: { x: -2000, y: -4000, z: 8000 } }
      : { type: "scatter3d", mode: "markers", x: flat(y.map(() => x)), y: flat(y.map((v) => x.map(() => v))), z: flat(cut),
          marker: { size: 5, color: flat(heights), ...colours }, hovertext: flat(hover.hovertext), hoverinfo: "text" };
    const mark = (point, symbol, colour, size) => ({ type: "scatter3d", mode: "markers", hoverinfo: "skip", showlegend: false,
      x: point.x, y: point.y, z: point.x.map(() => floor), marker: { symbol, color: colour, size } });
    return [body, this.marker("scatter3d"), mark(this.gapPoints(), "x", look.ink, 2), mark(this.origin(), "cross", look.ink, 4),
      mark(this.best(), this.layer.drawn ? "diamond-open" : "diamond", BEST, 3)];
  }

  contourTraces(look) {
    const { x, y } = this.panel;
    const { heights, low, high } = this.heights();
    const grid = { x, y, z: heights, zmin: low, zmax: high, colorscale: this.page.colours, colorbar: this.bar(look), hoverongaps: true };
    const body = x.length > 1 && y.length > 1
      ? { type: "contour", ...grid, autocontour: false, connectgaps: false, line: { smoothing: 0, width: 0.5, color: "rgba(255,255,255,.55)" },
          contours: { start: low, end: high, size: (high - low) / 20 } }
      : { type: "heatmap", ...grid };
    const cross = { type: "scatter", mode: "markers", ...this.gapPoints(), hoverinfo: "skip", showlegend: false,
      cliponaxis: false, marker: { symbol: "x-thin", size: 5, line: { color: look.ink, width: 1 } } };
    const origin = { type: "scatter", mode: "markers", ...this.origin(), hoverinfo: "skip", showlegend: false,
      marker: { symbol: "cross", size: 10, color: "#fff", line: { color: "#222", width: 1.2 } } };
    const star = { type: "scatter", mode: "markers", ...this.best(), hoverinfo: "skip", showlegend: false, cliponaxis: false,
      marker: { symbol: "star", size: 10, ...(this.layer.drawn ? { color: "#fff", line: { color: BEST, width: 1.2 } } : { color: BEST, line: { color: "#fff", width: 0.8 } }) } };
    // plotly fills what does not satisfy a constraint
    const above = { type: "contour", x, y, z: heights, connectgaps: false, showscale: false, hoverinfo: "skip", fillcolor: this.page.over,
      contours: { type: "constraint", operation: "<", value: high }, line: { width: 0.8, color: "#222", smoothing: 0 } };
    const pale = body.type === "contour" && heights.some((row) => row.some((v) => v !== null && v > high)) ? [above] : [];
    return [{ ...body, text: this.texts(), hoverinfo: "text" }, this.marker("scatter"), ...pale, ...this.pointTraces(), ...this.pathTraces(), ...this.overTraces(), cross, origin, star];
  }

  bar(look) {
    const { unit } = this.page;
    return { thickness: 12, outlinewidth: 0.5, tickfont: { color: look.ink }, title: { text: plain(unit), side: unit.length > 14 ? "right" : "top" }, ...this.ticks() };
  }

  ticks() { return this.figure.ticks((value) => this.figure.height(value)); }

  // The path of a training over the plane, or several models by name: what they stand for is read at their points.
  pathTraces() {
    const { path } = this.panel;
    if (!path) return [];
    const line = { type: "scatter", x: path.x, y: path.y, showlegend: false };
    const marker = { color: "rgba(255,255,255,.7)", size: path.sizes, line: { color: "#222", width: 1 } };
    const stops = { ...line, hovertext: path.texts, hoverinfo: "text", marker };
    if (path.names.length) return [{ ...stops, mode: "markers+text", text: path.names, textposition: "top center", textfont: { color: "#222" } }];
    return [
      { ...line, mode: "lines", hoverinfo: "skip", line: { color: "#222", width: 3.5 } },
      { ...stops, mode: "lines+markers", line: { color: "#fff", width: 1.6 } },
    ];
  }

  // Over a curvature map: a line for each level of the loss, and squares where the curvature has not converged.
  overTraces() {
    const { lines, unsettled: [rows, columns] } = this.layer;
    const { x, y } = this.panel;
    const squares = { type: "scatter", mode: "markers", x: columns.map((i) => x[i]), y: rows.map((j) => y[j]), hoverinfo: "skip",
      showlegend: false, cliponaxis: false, marker: { symbol: "square-open", size: 8, color: "#222", line: { width: 1 } } };
    if (!lines) return [];
    const levels = lines.levels.map((level) => ({ type: "contour", x, y, z: lines.values, autocontour: false, showscale: false, hoverinfo: "skip",
      contours: { start: level, end: level, size: 1, coloring: "none", showlabels: true, labelfont: { size: 9, color: "#222" } },
      line: { color: "#222", width: 0.8, smoothing: 0 }, connectgaps: false }));
    return [...levels, squares];
  }

  pointTraces() {
    const look = { type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false, visible: this.figure.state.points };
    const size = Math.min(6, Math.max(2, 160 / Math.max(this.panel.x.length, this.panel.y.length)));
    return [
      { ...look, ...this.pointsOf("m"), marker: { size, color: "#fff", line: { color: "#222", width: 0.6 } } },
      { ...look, ...this.pointsOf("a"), marker: { symbol: "triangle-up-open", size, color: "#222", line: { width: 0.6 } } },
    ];
  }

  marker(type) {
    if (type === "scatter") {
      return { type, mode: "markers", x: [null], y: [null], hoverinfo: "skip", showlegend: false, marker: { color: MARK, line: { color: "#fff", width: 1 }, size: 12 } };
    }
    // a pin: its foot is the point, its head stands clear of the surface, which would hide half of a marker on it
    return { type, mode: "lines+markers", x: [null], y: [null], z: [null], hoverinfo: "skip", showlegend: false,
      line: { color: MARK, width: 4 }, marker: { color: MARK, line: { color: "#fff", width: 1 }, size: [3, 8] } };
  }

  origin() {
    const within = (axis) => axis[0] <= 0 && 0 <= axis[axis.length - 1];
    return within(this.panel.x) && within(this.panel.y) ? { x: [0], y: [0] } : { x: [], y: [] };
  }

  best() {
    return this.layer.best ? { x: [this.layer.best[0]], y: [this.layer.best[1]] } : { x: [], y: [] };
  }

  surfaceLayout(look, width) {
    const { high, floor } = this.heights();
    const grey = look.dark ? "#4a5057" : "#ddd";
    const axis = (title) => ({ title: { text: title }, showbackground: false, gridcolor: grey, zerolinecolor: grey, linecolor: grey, nticks: 6 });
    const z = { ...axis(""), ...this.ticks(), range: [floor, high] };
    return { margin: { l: 0, r: 0, t: 0, b: 0 }, font: { family: FONT_FAMILY, size: 12, color: look.ink }, hovermode: "closest", showlegend: false,
      scene: { xaxis: { ...axis("x"), range: this.panel.window[0] }, yaxis: { ...axis("y"), range: this.panel.window[1] }, zaxis: z, aspectmode: "manual", aspectratio: { x: 1, y: this.panel.ratio, z: 0.75 },
        camera: this.planes.camera || firstCamera(width), dragmode: "turntable" } };
  }

  contourLayout(look, width) {
    const room = Math.min(width - 150, 320);
    const label = (text, range) => ({ range, title: { text: folded(text, room), standoff: 6 }, zeroline: false, constrain: "domain", automargin: true });
    const y = { ...label(this.panel.yLabel, this.panel.window[1]), ...(this.panel.equal ? { scaleanchor: "x" } : {}) };
    if (this.contour) this.contour.range = { x: this.panel.window[0], y: this.panel.window[1] };
    return { margin: { l: 50, r: 10, t: 30, b: 44 }, font: { family: FONT_FAMILY, size: 12, color: look.ink }, uirevision: "view", hovermode: "closest",
      showlegend: false, plot_bgcolor: look.missing, xaxis: label(this.panel.xLabel, this.panel.window[0]), yaxis: y };
  }

  listen(plot) {
    for (const event of ["plotly_hover", "plotly_click"]) {
      plot.box.on(event, ({ points: [point] }) => this.planes.link(point.x, point.y));
    }
    if (!plot.solid) return;
    for (const event of ["plotly_relayouting", "plotly_relayout"]) {
      plot.box.on(event, (changes) => {
        const camera = changes["scene.camera"];
        if (camera && camera.eye) this.planes.turn(structuredClone(camera), plot);
      });
    }
  }

  // Mark the grid point nearest to (x, y) in both pictures; nothing where the plane does not reach.
  point(x, y) {
    this.at = [x, y];
    this.plots.filter((plot) => plot.live).forEach((plot) => this.mark(plot));
    const i = nearest(this.panel.x, x), j = nearest(this.panel.y, y);
    const words = i < 0 || j < 0 ? ["outside this plane"] : this.words(j, i);
    this.readout.replaceChildren(...words.flatMap((line, n) => [element(n === 1 ? "b" : "span", { textContent: line }), " "]));
  }

  mark(plot) {
    const [x, y] = this.at;
    const i = nearest(this.panel.x, x), j = nearest(this.panel.y, y);
    const outside = i < 0 || j < 0;
    const { high, floor } = this.heights();
    const value = outside ? null : this.figure.height(this.layer.values[j][i]);
    const z = value === null ? floor : Math.min(value, high);
    const [px, py] = outside ? [null, null] : [this.panel.x[i], this.panel.y[j]];
    if (!plot.solid) Plotly.restyle(plot.box, { x: [[px]], y: [[py]] }, [1]);
    else Plotly.restyle(plot.box, { x: [[px, px]], y: [[py, py]], z: [[outside ? null : z, outside ? null : z + PIN * (high - floor)]] }, [1]);
  }
}

// What is drawn only where a reader asks for it.
function behind(words, nodes) {
  const fold = element("details", {}, element("summary", { textContent: words }), ...nodes);
  fold.addEventListener("toggle", () => stage.wake());
  return fold;
}

// The narrower a picture, the farther away: the words beside the axes need room.
function firstCamera(width) {
  const away = width < 360 ? 1.15 : width < 480 ? 1.08 : 1;
  return { eye: { x: 1.15 * away, y: -1.36 * away, z: 0.8 * away }, center: { x: 0, y: 0, z: -0.1 }, up: { x: 0, y: 0, z: 1 } };
}

// Index of the coordinate nearest to a value; −1 where it lies more than half a step outside.
function nearest(axis, value) {
  const distances = axis.map((v) => Math.abs(v - value));
  const index = distances.indexOf(Math.min(...distances));
  const step = axis.length > 1 ? Math.abs(axis[1] - axis[0]) : 1;
  return distances[index] <= 0.51 * step ? index : -1;
}

// Every point of every plane, for each choice of the seed.
function planeRows(page) {
  const status = { m: "measured", i: "interpolated", a: "above the clip by part of the samples", "-": "not measured" };
  const others = [...new Set(page.panels.flatMap((panel) => panel.layers.flatMap((layer) => layer.others.map(({ name }) => name))))];
  const rows = [];
  for (const panel of page.panels) {
    panel.layers.forEach((layer, k) => panel.y.forEach((y, j) => panel.x.forEach((x, i) => {
      const more = others.map((name) => { const own = layer.others.find((other) => other.name === name); return own ? own.values[j][i] : null; });
      rows.push([panel.label, page.seeds[k] || "", x, y, layer.values[j][i], layer.errors ? layer.errors[j][i] : null, status[layer.status[j][i]], ...more]);
    })));
  }
  return { columns: ["plane", "direction seed", "x", "y", page.unit, "standard error", "status", ...others], rows };
}
