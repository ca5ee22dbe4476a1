// Lines: losses along a direction, training curves, spectra. The scale and the clip act on charts of the scaled quantity.
const MOST_NOTES = 3;
const LETTER = 6.4; // pixels of a letter, about
const NARROW = 640; // pixels of a chart in which names of rows stand over them

class Charts {
  constructor(figure) {
    this.figure = figure;
    this.hidden = new Set();
    const grid = element("div", { className: "charts" });
    figure.host.append(grid);
    const overview = (figure.page.overview || []).map((chart) => this.chart(chart, -1, grid));
    this.charts = [...overview, ...figure.page.charts.map((chart, place) => this.chart(chart, place, grid))];
    this.arrange = balanced(grid, 360);
    this.most = figure.page.most || Infinity;
    if (figure.page.charts.length > this.most) figure.host.append(this.more());
    figure.host.append(this.key());
    this.redraw();
  }

  get plots() { return this.charts.map(({ plot }) => plot); }

  chart(chart, place, grid) {
    const label = [chart.title || this.figure.title, chart.yLabel, `over ${chart.xLabel}`, "arrow keys read its points"].filter(Boolean).join("; ");
    const plot = new Plot(label, (look, width) => ({ data: this.traces(chart, look), layout: this.layout(chart, look, width) }));
    const notes = element("div", {}, ...noteElements(chart.notes));
    const readout = element("output", { className: "unseen" });
    notes.append(readout);
    if (chart.height) plot.node.style.height = `${chart.height}px`
    const section = element("div", { className: `panel${chart.wide ? " wide" : ""}` }, element("h4", { textContent: chart.title }), plot.node, notes);
    grid.append(section);
    plot.node.addEventListener("keydown", (event) => this.step(event, chart, plot, readout));
    return { chart, place, plot, section };
  }

  more() {
    const count = this.figure.page.charts.length;
    const all = button(`Show all ${count}`, () => { this.most = Infinity; all.remove(); this.redraw(); }, `charts of ${this.figure.title}`);
    all.classList.add("screen");
    return all;
  }

  away(line) {
    if (this.hidden.has(line.group)) return true;
    return this.figure.page.memberOf === "groups" && line.group.startsWith("g") && this.figure.away(Number(line.group.slice(1)));
  }

  redraw() {
    for (const { place, section } of this.charts) {
      section.hidden = place >= this.most || ["charts", "panels"].includes(this.figure.page.memberOf) && this.figure.away(place);
    }
    this.arrange();
    this.plots.forEach((plot) => plot.redraw());
    stage.wake();
  }

  // The arrow keys go through the points of a line, and from line to line; what stands there is read out.
  step(event, chart, plot, readout) {
    const by = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    const lines = chart.lines.filter((line) => line.texts && !this.away(line));
    if (!by || !lines.length) return;
    event.preventDefault();
    const [n, i] = plot.at || [0, -1];
    const line = Math.min(Math.max(n + by[0], 0), lines.length - 1);
    const last = lines[line].x.length - 1;
    plot.at = [line, by[0] ? Math.min(Math.max(i, 0), last) : Math.min(Math.max(i + by[1], 0), last)];
    const words = lines[line].texts[plot.at[1]] || "";
    readout.className = "readout";
    readout.textContent = unmarked(words);
    const at = plot.box.data ? plot.box.data.findIndex((trace) => trace.text === lines[line].texts) : -1;
    if (at >= 0) Plotly.Fx.hover(plot.box, [{ curveNumber: at, pointNumber: plot.at[1] }]);
  }

  // One key for all charts: a button for each group of lines, which hides and shows it, and what the kinds of lines are.
  key() {
    const key = element("p", { className: "key" });
    for (const { group, name, colour, dash } of this.figure.page.groups) {
      const one = button("", () => {
        if (!this.hidden.delete(group)) this.hidden.add(group);
        one.setAttribute("aria-pressed", String(!this.hidden.has(group)));
        this.redraw();
      });
      one.className = "group";
      one.title = "hide or show";
      one.append(swatch(colour, dash), name);
      one.setAttribute("aria-pressed", "true");
      key.append(one);
    }
    const records = this.figure.page.records;
    if (records && records.values.length > 1) key.append(...recordKey(records));
    key.append(element("span", { className: "styles", textContent: this.figure.page.styles.join(" · ") }));
    return key;
  }

  traces(chart, look) {
    const { state } = this.figure;
    const drawn = chart.lines.filter((line) => !this.away(line));
    const bands = drawn.flatMap((line) => line.bands.flatMap((band) => this.band(chart, line, band, look)));
    const lines = drawn.map((line) => this.line(chart, line, look));
    const gaps = chart.gaps.filter((gap) => !this.away(gap) && (state.log || !gap.logOnly)).map((gap) => ({
      type: "scatter", mode: "markers", x: gap.x, y: gap.x.map(() => (gap.bottom ? 0 : 1)), yaxis: "y2", cliponaxis: false,
      marker: { symbol: gap.bottom ? "triangle-down" : "x-thin", size: 8, color: shown(gap.colour, look), line: { color: shown(gap.colour, look), width: 1.6 } },
      hovertemplate: plain(gap.name) + "<extra></extra>",
    }));
    return [...bands, ...lines, ...gaps];
  }

  line(chart, line, look) {
    const { record } = this.figure.state;
    const faded = record !== null && line.record !== null && line.record !== record;
    const hover = line.texts && !faded ? { text: line.texts, hovertemplate: "%{text}<extra></extra>" } : { hoverinfo: "skip" };
    const colour = shown(line.colour, look);
    const bar = (ends) => ends && { type: "data", symmetric: false, array: ends.plus, arrayminus: ends.minus, color: colour, thickness: 1.6, width: 0 };
    const [errors, across] = [bar(line.errors), bar(line.xErrors)];
    return {
      type: "scatter", mode: line.mode, x: line.x, y: this.isLog(chart) ? line.y.map((v) => (v > 0 ? v : null)) : line.y,
      line: { color: colour, width: line.width, dash: line.dash }, opacity: faded ? 0.06 : line.opacity, connectgaps: false, cliponaxis: line.mode !== "markers",
      marker: { color: line.open ? look.paper : colour, size: line.size, symbol: line.symbol, line: { color: colour, width: line.open ? 1.6 : 0 } },
      ...(errors ? { error_y: errors } : {}), ...(across ? { error_x: across } : {}), ...hover,
    };
  }

  isLog(chart) { return chart.scaled ? this.figure.state.log : Boolean(chart.axis && chart.axis.log); }

  // A band between two curves: an unseen lower edge, and an upper edge filled down to it. What has no logarithm ends far below.
  band(chart, line, band, look) {
    const end = chart.scaled ? this.figure.page.scale.limits.log : chart.axis && chart.axis.range;
    const floor = this.isLog(chart) ? end[0] * 1e-3 : -Infinity;
    const edge = { type: "scatter", mode: "lines", x: line.x, line: { width: 0 }, hoverinfo: "skip" };
    const lower = band.lower.map((v) => (v === null ? null : Math.max(v, floor)));
    return [{ ...edge, y: lower }, { ...edge, y: band.upper, fill: "tonexty", fillcolor: shown(band.colour, look) }];
  }

  layout(chart, look, width) {
    const { figure } = this;
    const room = (low, high) => [low - 0.04 * (high - low), figure.clippedAt() === null ? high + 0.04 * (high - low) : high];
    const scaled = () => ({ type: figure.state.log ? "log" : "linear", range: room(...figure.ends().map((v) => figure.height(v))), ...figure.ticks((v) => v) });
    const axis = { zeroline: false, gridcolor: look.grid, linecolor: look.ink, tickcolor: look.ink, ticks: "outside", ticklen: 4, automargin: true };
    const named = chart.ticks ? { tickmode: "array", tickvals: chart.ticks.values, ticktext: chart.ticks.words.map((word) => plain(word).replace("\n", "<br>")) } : {};
    const rows = chart.named ? namedRows(chart, width) : { axis: {}, annotations: [] };
    return {
      annotations: rows.annotations,
      margin: { l: 55, r: 12, t: 12, b: 45 }, font: { family: FONT_FAMILY, size: 12, color: look.ink }, hovermode: "closest",
      plot_bgcolor: look.paper, showlegend: false,
      xaxis: { ...axis, range: chart.range, title: { text: folded(chart.xLabel, width - 110), standoff: 6 }, ...(chart.whole ? { tickformat: "d", tick0: 0, dtick: wholeStep(chart.range) } : {}), ...named },
      yaxis: { ...axis, title: { text: plain(chart.yLabel), standoff: 6 }, ...(chart.scaled ? scaled() : ownScale(chart.axis)), ...rows.axis },
      yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
    };
  }
}

// A piece of a line as it is drawn.
function swatch(colour, dash) {
  const svg = (tag, attributes) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    Object.entries(attributes).forEach(([name, value]) => made.setAttribute(name, value));
    return made;
  };
  const pieces = { solid: "none", dot: "2,3" }[dash] || dash.replaceAll("px", "");
  const line = svg("line", { x1: 0, x2: 30, y1: 5, y2: 5, stroke: colour, "stroke-width": 4, "stroke-dasharray": pieces });
  const made = svg("svg", { width: 30, height: 10, "aria-hidden": "true", class: "swatch" });
  made.append(line);
  return made;
}

// Notes; of many, all but the first lie behind a fold.
function noteElements(notes) {
  const made = notes.map((note) => element("p", { className: "note", textContent: note }));
  if (made.length <= MOST_NOTES) return made;
  const rest = element("details", { className: "fold" }, element("summary", { textContent: `${made.length - 2} more` }), ...made.slice(2));
  return [...made.slice(0, 2), rest];
}

// Between ticks of whole numbers: 1, 2, 5, 10, …, so that there are some six.
function wholeStep([low, high]) {
  const rough = Math.max((high - low) / 6, 1);
  const power = 10 ** Math.floor(Math.log10(rough));
  return [1, 2, 5, 10].find((factor) => factor * power >= rough * 0.999) * power;
}

// From the first record's colour to the last one's.
function recordKey({ name, values, colours }) {
  const bar = element("span", { className: "bar" });
  bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  return [`${name} ${values[0]} `, bar, ` ${values[values.length - 1]} `];
}

// Long names of rows: beside them, cut where they would take more than some of the width; on a narrow page over them.
function namedRows({ axis: { ticks, words }, named }, width) {
  const cut = (word, pixels) => (word.length * LETTER > pixels ? `${word.slice(0, Math.floor(pixels / LETTER) - 1)}…` : word);
  if (width >= NARROW) return { axis: { ticktext: words.map((word) => plain(cut(word, 0.4 * width))) }, annotations: [] };
  const look = { xref: "paper", x: 0, xanchor: "left", yanchor: "bottom", yshift: named, showarrow: false, font: { size: 11 } };
  return { axis: { showticklabels: false, ticks: "" }, annotations: ticks.map((y, i) => ({ ...look, y, text: plain(cut(words[i], width - 40)) })) };
}

function ownScale(axis) {
  if (!axis) return {};
  const range = axis.log ? axis.range.map(Math.log10) : axis.range;
  return { type: axis.log ? "log" : "linear", range, tickmode: "array", tickvals: axis.ticks, ticktext: axis.words.map(plain) };
}

// Every point of every line, with the ends of its first band or of its interval.
function chartRows(page) {
  const rows = [];
  const names = Object.fromEntries(page.groups.map(({ group, name }) => [group, name]));
  for (const chart of [...(page.overview || []), ...page.charts]) {
    const words = chart.ticks ? new Map(chart.ticks.values.map((value, i) => [value, chart.ticks.words[i]])) : new Map();
    for (const line of chart.lines) {
      const record = line.record !== null && page.records ? `${page.records.name} ${page.records.values[line.record]}` : "";
      const name = line.name || names[line.group] || record;
      line.x.forEach((x, i) => {
        if (x === null || line.y[i] === null) return;
        const { low, high } = between(line, i);
        rows.push([chart.title, name, words.has(x) ? words.get(x) : x, line.y[i], low, high, line.texts ? unmarked(line.texts[i] || "") : ""]);
      });
    }
  }
  return { columns: ["chart", "line", "x", "y", "low", "high", "in words"], rows };
}

function between(line, i) {
  if (line.xErrors) return { low: line.x[i] - line.xErrors.minus[i], high: line.x[i] + line.xErrors.plus[i] };
  if (line.errors && line.errors.plus[i] !== null) return { low: line.y[i] - line.errors.minus[i], high: line.y[i] + line.errors.plus[i] };
  const band = line.bands[0];
  return band ? { low: band.lower[i], high: band.upper[i] } : { low: null, high: null };
}
