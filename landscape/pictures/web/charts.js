// Lines: losses along a direction, or training curves. The scale and the clip act on charts of the loss.
function startCharts(host) {
  const grid = element("div", { className: "charts panel" });
  host.append(grid);
  const views = page.charts.map((chart) => {
    const plot = element("div", { className: "picture" });
    const notes = element("div", {}, ...chart.notes.map((note) => element("p", { className: "note", textContent: note })));
    grid.append(element("section", {}, element("h2", { textContent: chart.title }), plot, notes));
    return { chart, plot };
  });
  const hidden = new Set();
  const redraw = () => views.forEach(({ chart, plot }) => Plotly.react(plot, chartTraces(chart, hidden), chartLayout(chart, plot), CONFIG));
  host.append(chartKey(hidden, redraw));
  redraw();
  return redraw;
}

// One key for all charts: a button for each group of lines, which hides and shows it, and what the kinds of lines are.
function chartKey(hidden, redraw) {
  const key = element("p", { className: "key" });
  for (const { group, name, colour } of page.groups) {
    const button = element("button", { type: "button", className: "group", textContent: name, title: "hide or show" });
    button.style.setProperty("--colour", colour);
    button.setAttribute("aria-pressed", "true");
    button.addEventListener("click", () => {
      if (!hidden.delete(group)) hidden.add(group);
      button.setAttribute("aria-pressed", String(!hidden.has(group)));
      redraw();
    });
    key.append(button);
  }
  if (page.records && page.records.values.length > 1) key.append(...recordKey(page.records));
  key.append(element("span", { className: "styles", textContent: page.styles.join(" · ") }));
  return key;
}

// From the first record's colour to the last one's.
function recordKey({ name, values, colours }) {
  const bar = element("span", { className: "bar" });
  bar.style.background = `linear-gradient(to right, ${colours.join(", ")})`;
  return [`${name} ${values[0]} `, bar, ` ${values[values.length - 1]} `];
}

function chartTraces(chart, hidden) {
  const shown = chart.lines.filter((line) => !hidden.has(line.group));
  const bands = shown.flatMap((line) => line.bands.flatMap((band) => bandTraces(chart, line, band)));
  const lines = shown.map((line) => lineTrace(chart, line));
  const gaps = chart.gaps.filter((gap) => !hidden.has(gap.group) && (state.log || !gap.logOnly)).map((gap) => ({
    type: "scatter", mode: "markers", x: gap.x, y: gap.x.map(() => (gap.bottom ? 0 : 1)), yaxis: "y2", cliponaxis: false,
    marker: { symbol: gap.bottom ? "triangle-down" : "x-thin", size: 8, color: gap.colour, line: { color: gap.colour, width: 1.6 } },
    hovertemplate: plain(gap.name) + "<extra></extra>",
  }));
  return [...bands, ...lines, ...gaps];
}

function lineTrace(chart, line) {
  const faded = state.record !== null && line.record !== null && line.record !== state.record;
  const hover = line.texts && !faded ? { text: line.texts, hovertemplate: "%{text}<extra></extra>" } : { hoverinfo: "skip" };
  const errors = line.errors && { type: "data", symmetric: false, array: line.errors.plus, arrayminus: line.errors.minus, color: line.colour, thickness: 1.6, width: 0 };
  const log = chart.scaled ? state.log : Boolean(chart.axis && chart.axis.log);
  return {
    type: "scatter", mode: line.mode, x: line.x, y: log ? line.y.map((v) => (v > 0 ? v : null)) : line.y,
    line: { color: line.colour, width: line.width, dash: line.dash }, opacity: faded ? 0.06 : line.opacity, connectgaps: false,
    marker: { color: line.open ? "#fff" : line.colour, size: line.size, symbol: line.symbol, line: { color: line.colour, width: line.open ? 1.6 : 0 } },
    ...(errors ? { error_y: errors } : {}), ...hover,
  };
}

// A band between two curves: an unseen lower edge, and an upper edge filled down to it. What has no logarithm ends far below.
function bandTraces(chart, line, band) {
  const own = chart.axis && chart.axis.log ? chart.axis.range[0] * 1e-3 : -Infinity;
  const floor = !chart.scaled ? own : state.log ? page.scale.limits.log[0] * 1e-3 : -Infinity;
  const edge = { type: "scatter", mode: "lines", x: line.x, line: { width: 0 }, hoverinfo: "skip" };
  const lower = band.lower.map((v) => (v === null ? null : Math.max(v, floor)));
  return [{ ...edge, y: lower }, { ...edge, y: band.upper, fill: "tonexty", fillcolor: band.colour }];
}

function chartLayout(chart, plot) {
  const room = (low, high) => [low - 0.04 * (high - low), clippedAt() === null ? high + 0.04 * (high - low) : high];
  const scaled = chart.scaled ? { type: state.log ? "log" : "linear", range: room(...ends().map(height)), ...ticks((v) => v) } : ownScale(chart.axis);
  const axis = { zeroline: false, gridcolor: "#eee", linecolor: "#222", ticks: "outside", ticklen: 4, automargin: true };
  const named = chart.ticks ? { tickmode: "array", tickvals: chart.ticks.values, ticktext: chart.ticks.words.map((word) => plain(word).replace("\n", "<br>")) } : {};
  return {
    margin: { l: 55, r: 12, t: 32, b: 45 }, font: FONT, hovermode: "closest", plot_bgcolor: "#fff", showlegend: false,
    xaxis: { ...axis, range: chart.range, title: { text: folded(chart.xLabel, plot.clientWidth - 110), standoff: 6 }, ...(chart.whole ? { tickformat: "d" } : {}), ...named },
    yaxis: { ...axis, title: { text: plain(chart.yLabel), standoff: 6 }, ...scaled },
    yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
  };
}

function ownScale(axis) {
  if (!axis) return {};
  const range = axis.log ? axis.range.map(Math.log10) : axis.range;
  return { type: axis.log ? "log" : "linear", range, tickmode: "array", tickvals: axis.ticks, ticktext: axis.words };
}
