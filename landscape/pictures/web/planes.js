// Planes: a surface that turns beside its contours. A point under the pointer in one is marked in all, and read out.
const FLOOR = 0.15; // of the height, free under the surface for marks
const PIN = 0.14; // of the height, the length of the pin that marks a point
const MARK = { color: "#e51e8b", line: { color: "#fff", width: 1 } };

function startPlanes(host) {
  const views = page.panels.map((panel) => new PlaneView(panel, host));
  let last = null;
  let waiting = false;
  // Marking a point redraws, and redrawing fires the event again: act once a frame, and only on another point.
  const link = (x, y) => {
    const changed = last === null || last[0] !== x || last[1] !== y;
    last = [x, y];
    if (!changed || waiting) return;
    waiting = true;
    requestAnimationFrame(() => { waiting = false; views.forEach((view) => view.point(...last)); });
  };
  views.forEach((view) => view.listen(link));
  return () => views.forEach((view) => view.draw());
}

class PlaneView {
  constructor(panel, host) {
    this.panel = panel;
    this.surface = element("div", { className: "picture surface" });
    this.contour = element("div", { className: "picture contour" });
    this.readout = element("output", { className: "readout", textContent: "Point at a picture to read a value." });
    this.key = element("p", { className: "key" });
    const section = element("section", { className: "panel" }, element("h2", { textContent: panel.label }));
    if (panel.note) section.append(element("p", { className: "note", textContent: panel.note }));
    section.append(element("div", { className: "pair" }, this.surface, this.contour), this.readout, this.key);
    host.append(section);
    this.at = null;
    this.draw();
  }

  get layer() { return this.panel.layers[Math.min(state.seed, this.panel.layers.length - 1)]; }

  draw() {
    const heights = this.layer.values.map((row) => row.map(height));
    const [low, high] = ends().map(height);
    this.floor = low - FLOOR * (high - low);
    Plotly.react(this.surface, this.surfaceTraces(heights, low, high), this.surfaceLayout(high), SOLID_CONFIG);
    Plotly.react(this.contour, this.contourTraces(heights, low, high), this.contourLayout(), CONFIG);
    const counts = this.layer.gaps.reduce((all, gap) => ({ ...all, [gap.word]: (all[gap.word] || 0) + 1 }), {});
    const gaps = Object.entries(counts).map(([word, count]) => `${word} at ${count} point${count > 1 ? "s" : ""}`);
    const at = clippedAt();
    const clipped = at === null ? "" : `values above ${number(at, 3)} are drawn clipped to it`;
    const parts = [this.panel.key, this.layer.key, gaps.length ? `× ${gaps.join(", ")}` : "", clipped, ...(state.points ? this.pointWords() : [])];
    this.key.textContent = parts.filter(Boolean).join(" · ");
    if (this.at) this.point(...this.at);
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
    lines.push(`${page.quantity} ${known}${error === null ? "" : ` ± ${number(error, 2)}`}`);
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
    const words = [`○ measured: ${count("m")} of ${letters.length} points`];
    if (count("a")) words.push(`▵ above the clip by part of the samples: ${count("a")}`);
    if (count("i")) words.push(`unmarked: interpolated (${count("i")})`);
    return words;
  }

  gapPoints() {
    return { x: this.layer.gaps.map((gap) => this.panel.x[gap.column]), y: this.layer.gaps.map((gap) => this.panel.y[gap.row]) };
  }

  surfaceTraces(heights, low, high) {
    const { x, y } = this.panel;
    const shown = heights.map((row) => row.map((v) => (v === null ? null : Math.max(Math.min(v, high), low))));
    const look = { colorscale: page.colours, cmin: low, cmax: high, showscale: false };
    const hover = { hovertext: this.texts(), hoverinfo: "text" };
    const flat = (grid) => grid.flat();
    const body = x.length > 1 && y.length > 1
      ? { type: "surface", x, y, z: shown, surfacecolor: heights, ...look, ...hover, connectgaps: false,
          lighting: { ambient: 0.85, diffuse: 0.35, specular: 0.05, roughness: 0.9 } }
      : { type: "scatter3d", mode: "markers", x: flat(y.map(() => x)), y: flat(y.map((v) => x.map(() => v))), z: flat(shown),
          marker: { size: 5, color: flat(heights), ...look }, hovertext: flat(hover.hovertext), hoverinfo: "text" };
    const gaps = this.gapPoints();
    const mark = (point, symbol, colour, size) => ({ type: "scatter3d", mode: "markers", hoverinfo: "skip", showlegend: false,
      x: point.x, y: point.y, z: point.x.map(() => this.floor), marker: { symbol, color: colour, size } });
    return [body, this.marker("scatter3d"), mark(gaps, "x", "#222", 2), mark(this.origin(), "cross", "#222", 4),
      mark(this.best(), "diamond", "#d55e00", 3)];
  }

  contourTraces(heights, low, high) {
    const { x, y } = this.panel;
    const bar = { thickness: 12, outlinewidth: 0.5, title: { text: plain(page.unit), side: page.unit.length > 14 ? "right" : "top" }, ...ticks(height) };
    const grid = { x, y, z: heights, zmin: low, zmax: high, colorscale: page.colours, colorbar: bar, hoverongaps: true };
    const body = x.length > 1 && y.length > 1
      ? { type: "contour", ...grid, autocontour: false, connectgaps: false, line: { smoothing: 0, width: 0.5, color: "rgba(255,255,255,.55)" },
          contours: { start: low, end: high, size: (high - low) / 20 } }
      : { type: "heatmap", ...grid };
    const gaps = this.gapPoints();
    const cross = { type: "scatter", mode: "markers", ...gaps, hoverinfo: "skip", showlegend: false,
      cliponaxis: false, marker: { symbol: "x-thin", size: 5, line: { color: "#222", width: 1 } } };
    const origin = { type: "scatter", mode: "markers", ...this.origin(), hoverinfo: "skip", showlegend: false,
      marker: { symbol: "cross", size: 10, color: "#fff", line: { color: "#222", width: 1.2 } } };
    const star = { type: "scatter", mode: "markers", ...this.best(), hoverinfo: "skip", showlegend: false, cliponaxis: false,
      marker: { symbol: "star", size: 10, color: "#d55e00", line: { color: "#fff", width: 0.8 } } };
    return [{ ...body, text: this.texts(), hoverinfo: "text" }, this.marker("scatter"), ...this.pointTraces(), ...this.pathTraces(), ...this.overTraces(), cross, origin, star];
  }

  // The path of a training over the plane, where there is one: what it stands for is read at its points.
  pathTraces() {
    const { path } = this.panel;
    if (!path) return [];
    return [{ type: "scatter", mode: "lines+markers", x: path.x, y: path.y, hovertext: path.texts, hoverinfo: "text", showlegend: false,
      line: { color: "#222", width: 1.5 }, marker: { color: "#fff", size: path.sizes, line: { color: "#222", width: 1 } } }];
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
    const look = { type: "scatter", mode: "markers", hoverinfo: "skip", showlegend: false, visible: state.points };
    const size = Math.min(6, Math.max(2, 160 / Math.max(this.panel.x.length, this.panel.y.length)));
    return [
      { ...look, ...this.pointsOf("m"), marker: { size, color: "#fff", line: { color: "#222", width: 0.6 } } },
      { ...look, ...this.pointsOf("a"), marker: { symbol: "triangle-up-open", size, color: "#222", line: { width: 0.6 } } },
    ];
  }

  marker(type) {
    if (type === "scatter") {
      return { type, mode: "markers", x: [null], y: [null], hoverinfo: "skip", showlegend: false, marker: { ...MARK, size: 12 } };
    }
    // a pin: its foot is the point, its head stands clear of the surface, which would hide half of a marker on it
    return { type, mode: "lines+markers", x: [null], y: [null], z: [null], hoverinfo: "skip", showlegend: false,
      line: { color: MARK.color, width: 4 }, marker: { ...MARK, size: [3, 8] } };
  }

  origin() {
    const within = (axis) => axis[0] <= 0 && 0 <= axis[axis.length - 1];
    return within(this.panel.x) && within(this.panel.y) ? { x: [0], y: [0] } : { x: [], y: [] };
  }

  best() {
    return this.layer.best ? { x: [this.layer.best[0]], y: [this.layer.best[1]] } : { x: [], y: [] };
  }

  surfaceLayout(high) {
    const axis = (title) => ({ title: { text: title }, showbackground: false, gridcolor: "#ddd", zerolinecolor: "#bbb", nticks: 6 });
    const away = this.surface.clientWidth < 480 ? 1.25 : 1; // on a narrow screen, words beside the axes need room
    const z = { ...axis(plain(page.unit)), ...ticks(height), range: [this.floor, high] };
    return { margin: { l: 0, r: 0, t: 30, b: 0 }, font: FONT, uirevision: "view", hovermode: "closest", showlegend: false,
      scene: { xaxis: axis("x"), yaxis: axis("y"), zaxis: z, aspectmode: "manual", aspectratio: { x: 1, y: this.panel.ratio, z: 0.75 },
        camera: { eye: { x: 1.15 * away, y: -1.36 * away, z: 0.8 * away }, center: { x: 0, y: 0, z: -0.14 } }, uirevision: "view" } };
  }

  contourLayout() {
    const room = Math.min(this.contour.clientWidth - 150, this.contour.clientHeight - 80);
    const label = (text, values) => ({ range: limits(values), title: { text: folded(text, room), font: { size: 11 }, standoff: 6 }, zeroline: false, constrain: "domain", automargin: true });
    const y = { ...label(this.panel.yLabel, this.panel.y), ...(this.panel.equal ? { scaleanchor: "x" } : {}) };
    return { margin: { l: 50, r: 10, t: 34, b: 44 }, font: FONT, uirevision: "view", hovermode: "closest", showlegend: false,
      plot_bgcolor: MISSING, xaxis: label(this.panel.xLabel, this.panel.x), yaxis: y };
  }

  listen(link) {
    for (const plot of [this.surface, this.contour]) {
      for (const event of ["plotly_hover", "plotly_click"]) {
        plot.on(event, ({ points: [point] }) => link(point.x, point.y));
      }
    }
  }

  // Mark the grid point nearest to (x, y) in both pictures; nothing where the plane does not reach.
  point(x, y) {
    this.at = [x, y];
    const i = nearest(this.panel.x, x), j = nearest(this.panel.y, y);
    const outside = i < 0 || j < 0;
    const top = height(ends()[1]);
    const value = outside ? null : height(this.layer.values[j][i]);
    const z = value === null ? this.floor : Math.min(value, top);
    const [px, py] = outside ? [null, null] : [this.panel.x[i], this.panel.y[j]];
    const head = outside ? null : z + PIN * (top - this.floor);
    Plotly.restyle(this.contour, { x: [[px]], y: [[py]] }, [1]);
    Plotly.restyle(this.surface, { x: [[px, px]], y: [[py, py]], z: [[outside ? null : z, head]] }, [1]);
    const words = outside ? ["outside this plane"] : this.words(j, i);
    this.readout.replaceChildren(...words.flatMap((line, n) => [element(n === 1 ? "b" : "span", { textContent: line }), " "]));
  }
}

// Ends of an axis; around a single coordinate, half a unit on either side.
function limits(axis) {
  return axis.length > 1 ? [axis[0], axis[axis.length - 1]] : [axis[0] - 0.5, axis[0] + 0.5];
}

// Index of the coordinate nearest to a value; −1 where it lies more than half a step outside.
function nearest(axis, value) {
  const distances = axis.map((v) => Math.abs(v - value));
  const index = distances.indexOf(Math.min(...distances));
  const step = axis.length > 1 ? Math.abs(axis[1] - axis[0]) : 1;
  return distances[index] <= 0.51 * step ? index : -1;
}
