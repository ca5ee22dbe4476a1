// What all pages share: the data, what the controls say, how numbers are written.
const page = JSON.parse(document.getElementById("page-data").textContent);
const state = {
  log: page.scale !== null && page.scale.log, clip: page.scale && page.scale.clip, seed: page.seed, points: Boolean(page.points), record: null,
};
// Buttons are named one by one: plotly's own choice has one that uploads the chart.
const BUTTONS = {
  flat: [["toImage"], ["zoom2d", "pan2d", "resetScale2d"]],
  solid: [["toImage"], ["orbitRotation", "pan3d", "resetCameraDefault3d"]],
};
const CONFIG = { responsive: true, displaylogo: false, modeBarButtons: BUTTONS.flat };
const SOLID_CONFIG = { ...CONFIG, modeBarButtons: BUTTONS.solid };
const FONT = { family: '"DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif', size: 12, color: "#222" };
const MISSING = "#e4e4e4";

function number(value, digits = 4) {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  const [mantissa, exponent] = value.toExponential(digits - 1).split("e");
  const power = Number(exponent);
  if (value === 0 || (power >= -3 && power <= 4)) return String(Number(value.toPrecision(digits))).replace("-", "−");
  const raised = [...String(power)].map((c) => "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"["-0123456789".indexOf(c)]).join("");
  const short = String(Number(mantissa));
  return (short === "1" ? "" : short.replace("-", "−") + "×") + "10" + raised;
}

// A label may hold < or &, which plotly would read as markup.
function plain(text) {
  return text.replace(/&/g, "&amp;").replace(/</g, "&lt;");
}

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

function height(value) {
  if (value === null) return null;
  return state.log ? Math.log10(Math.max(value, page.scale.limits.log[0])) : value;
}

// Above what values are drawn clipped: where the reader says, else where adaptively measured planes end; null: nowhere.
function clippedAt() {
  return state.clip === null ? page.scale.known : state.clip;
}

// Ends of the scale as values: of all that is drawn, or down from where it is clipped.
function ends() {
  const [low, high] = state.log ? page.scale.limits.log : page.scale.limits.linear;
  return [low, state.clip === null ? high : Math.min(state.clip, high)];
}

// Round values on the scale: steps of 1-2-5 or 1-3 on a logarithmic one, about six equal steps on a linear one.
function roundValues() {
  const [low, high] = ends();
  const values = [];
  if (state.log && high / low > 10) {
    const decades = Math.log10(high / low);
    const steps = decades <= 2.2 ? [1, 2, 5] : decades <= 4.5 ? [1, 3] : [1];
    const stride = Math.ceil(decades / 9);
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power++) {
      if (power % stride !== 0) continue;
      for (const step of steps) values.push(step * 10 ** power);
    }
  } else {
    const rough = (high - low) / 6;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = power * [1, 2, 2.5, 5, 10].find((factor) => factor * power >= rough * 0.999);
    for (let n = Math.ceil(low / step); n * step <= high; n++) values.push(n * step);
  }
  return values.filter((value) => value >= low && value <= high);
}

// Those as the ticks of an axis; ``at`` says where on it a value lies.
function ticks(at) {
  const values = roundValues();
  return { tickmode: "array", tickvals: values.map(at), ticktext: values.map((value) => number(value, 3)) };
}

// Words in lines that fit so many pixels, as plotly's markup.
function folded(text, pixels) {
  const longest = Math.max(12, Math.floor(pixels / 6.3));
  const lines = [""];
  for (const word of text.split(" ")) {
    const joined = `${lines[lines.length - 1]} ${word}`.trim();
    if (joined.length > longest) lines.push(word);
    else lines[lines.length - 1] = joined;
  }
  return lines.map(plain).join("<br>");
}

function scaleControl(redraw) {
  const choice = (log, words) => {
    const input = element("input", { type: "radio", name: "scale", value: words, checked: state.log === log });
    input.disabled = log && !page.scale.limits.log;
    input.addEventListener("change", () => { state.log = log; redraw(); });
    return element("label", {}, input, words);
  };
  return element("fieldset", {}, element("legend", { textContent: "scale" }), choice(false, "linear"), choice(true, "log"));
}

function clipControl(redraw) {
  const slider = element("input", { type: "range", min: 0, max: 100, step: 1, id: "clip" });
  const output = element("output", { htmlFor: "clip" });
  const show = () => {
    const [low, high] = (state.log ? page.scale.limits.log : page.scale.limits.linear).map(height);
    slider.value = state.clip === null ? 100 : Math.round((100 * (height(state.clip) - low)) / (high - low));
    const at = clippedAt();
    output.textContent = at === null ? "no clip" : number(at, 3);
  };
  slider.addEventListener("input", () => {
    const [low, high] = (state.log ? page.scale.limits.log : page.scale.limits.linear).map(height);
    const at = low + ((high - low) * Math.max(Number(slider.value), 1)) / 100;
    state.clip = Number(slider.value) >= 100 ? null : state.log ? 10 ** at : at;
    show();
    redraw();
  });
  show();
  return [element("label", {}, element("span", { className: "name", textContent: "clip above" }), slider, output), show];
}

function seedControl(redraw) {
  const select = element("select", { id: "seed" });
  page.seeds.forEach((name, index) => select.append(element("option", { value: index, textContent: name })));
  select.value = state.seed;
  select.addEventListener("change", () => { state.seed = Number(select.value); redraw(); });
  return element("label", {}, element("span", { className: "name", textContent: "direction seed" }), select);
}

function pointsControl(redraw) {
  const box = element("input", { type: "checkbox", id: "points", checked: state.points });
  box.addEventListener("change", () => { state.points = box.checked; redraw(); });
  return element("label", {}, box, "measured points");
}

// Singles out one record of many: the slider's left end shows all.
function recordControl(redraw) {
  const { name, values } = page.records;
  const slider = element("input", { type: "range", min: 0, max: values.length, step: 1, value: 0, id: "record" });
  const output = element("output", { htmlFor: "record", textContent: "all" });
  slider.addEventListener("input", () => {
    const chosen = Number(slider.value);
    state.record = chosen === 0 ? null : chosen - 1;
    output.textContent = state.record === null ? "all" : String(values[state.record]);
    redraw();
  });
  return element("label", {}, element("span", { className: "name", textContent: name }), slider, output);
}

function start() {
  const host = document.getElementById("panels");
  const redraw = page.kind === "planes" ? startPlanes(host) : startCharts(host);
  const controls = document.getElementById("controls");
  controls.addEventListener("submit", (event) => event.preventDefault());
  if (page.scale) {
    const [clip, showClip] = clipControl(redraw);
    controls.append(scaleControl(() => { showClip(); redraw(); }));
    if (!page.records) controls.append(clip);
  }
  if (page.seeds.length > 1) controls.append(seedControl(redraw));
  if (page.kind === "planes") controls.append(pointsControl(redraw));
  if (page.records && page.records.values.length > 1) controls.append(recordControl(redraw));
  controls.hidden = controls.childElementCount === 0;
}
