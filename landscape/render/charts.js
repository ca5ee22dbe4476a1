// Lines: losses along a direction, or training curves. The scale and the clip act on charts of the loss.
function startCharts(host) {
  const grid = element("div", { className: "charts panel" });
  host.append(grid);
  const views = page.charts.map((chart) => {
    const plot = element("div", { className: "picture" });
    const section = element("section", {});
    if (chart.title) section.append(element("h2", { textContent: chart.title }));
    for (const note of chart.notes) section.append(element("p", { className: "note", textContent: note }));
    section.append(plot);
    grid.append(section);
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
  key.append(element("span", { className: "styles", textContent: page.styles.join(" · ") }));
  return key;
}

function chartTraces(chart, hidden) {
  const shown = chart.lines.filter((line) => !hidden.has(line.group));
  const bands = shown.flatMap((line) => line.bands.flatMap((band) => bandTraces(line, band)));
  const lines = shown.map((line) => ({
    type: "scatter", mode: line.mode, x: line.x, y: line.y,
    line: { color: line.colour, width: line.width, dash: line.dash }, opacity: line.opacity, connectgaps: false,
    marker: line.mode === "markers"
      ? { color: "#fff", size: 8, symbol: line.symbol, line: { color: line.colour, width: 1.6 } }
      : { color: line.colour, size: 5 },
    ...(line.texts ? { text: line.texts, hovertemplate: "%{text}<extra></extra>" } : { hoverinfo: "skip" }),
  }));
  const gaps = chart.gaps.filter((gap) => !hidden.has(gap.group)).map((gap) => ({
    type: "scatter", mode: "markers", x: gap.x, y: gap.x.map(() => 1), yaxis: "y2", cliponaxis: false,
    marker: { symbol: "x-thin", size: 8, line: { color: gap.colour, width: 1.6 } }, hovertemplate: plain(gap.name) + "<extra></extra>",
  }));
  return [...bands, ...lines, ...gaps];
}

// A band between two curves: an unseen lower edge, and an upper edge filled down to it. What has no logarithm ends far below.
function bandTraces(line, band) {
  const floor = state.log ? page.scale.limits.log[0] * 1e-3 : -Infinity;
  const edge = { type: "scatter", mode: "lines", x: line.x, line: { width: 0 }, hoverinfo: "skip" };
  const lower = band.lower.map((v) => (v === null ? null : Math.max(v, floor)));
  return [{ ...edge, y: lower }, { ...edge, y: band.upper, fill: "tonexty", fillcolor: band.colour }];
}

function chartLayout(chart, plot) {
  const room = (low, high) => [low - 0.04 * (high - low), state.clip === null ? high + 0.04 * (high - low) : high];
  const scaled = chart.scaled ? { type: state.log ? "log" : "linear", range: room(...ends().map(height)), ...ticks((v) => v) } : {};
  const axis = { zeroline: false, gridcolor: "#eee", linecolor: "#222", ticks: "outside", ticklen: 4, automargin: true };
  return {
    margin: { l: 55, r: 12, t: 32, b: 45 }, font: FONT, hovermode: "closest", plot_bgcolor: "#fff", showlegend: false,
    xaxis: { ...axis, range: chart.range, title: { text: folded(chart.xLabel, plot.clientWidth - 110), standoff: 6 }, ...(chart.whole ? { tickformat: "d" } : {}) },
    yaxis: { ...axis, title: { text: plain(chart.yLabel), standoff: 6 }, ...scaled },
    yaxis2: { overlaying: "y", range: [0, 1], visible: false, fixedrange: true },
  };
}
