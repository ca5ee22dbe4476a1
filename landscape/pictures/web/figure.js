// One figure: its data, what its controls say, and its downloads. Charts and planes say what is drawn in it.
class Figure {
  constructor(node, hiddenRuns) {
    this.node = node;
    this.name = node.id;
    this.page = JSON.parse(node.querySelector(".figure-data").textContent);
    this.title = document.getElementById(node.getAttribute("aria-labelledby")).textContent;
    const { scale, seed, points } = this.page;
    this.state = { log: scale !== null && scale.log, clip: scale && scale.clip, seed, points: Boolean(points), record: null };
    this.hiddenRuns = hiddenRuns;
    this.host = node.querySelector(".panels");
    this.views = null;
    this.dress();
  }

  // Its plots, which are drawn when they come near to the screen.
  open() {
    if (stage.none) return;
    this.views = this.page.kind === "planes" ? new Planes(this) : new Charts(this);
    this.controls(this.node.querySelector(".controls"));
  }

  get plots() { return this.views ? this.views.plots : []; }

  redraw() { if (this.views) this.views.redraw(); }

  // Whether all runs that a panel, chart or group shows are hidden in the table of runs.
  away(place) {
    const runs = (this.page.members || [])[place] || [];
    return runs.length > 0 && runs.every((run) => this.hiddenRuns.has(run));
  }

  height(value) {
    if (value === null) return null;
    return this.state.log ? Math.log10(Math.max(value, this.page.scale.limits.log[0])) : value;
  }

  limits() { return this.state.log ? this.page.scale.limits.log : this.page.scale.limits.linear; }

  // Above what values are drawn clipped: where the reader says, else where adaptively measured planes end; null: nowhere.
  clippedAt() { return this.state.clip === null ? this.page.scale.known : this.state.clip; }

  // Ends of the scale as values: of all that is drawn, or down from where it is clipped.
  ends() {
    const [low, high] = this.limits();
    return [low, this.state.clip === null ? high : Math.min(this.state.clip, high)];
  }

  // Round values on the scale: steps of 1-2-5 or 1-3 on a logarithmic one, about six equal steps on a linear one.
  roundValues() {
    const [low, high] = this.ends();
    const values = [];
    if (this.state.log && high / low > 10) {
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

  // Those as the ticks of an axis, with as many digits as tell them apart; ``at`` says where on it a value lies.
  ticks(at) {
    const values = this.roundValues();
    let words = [];
    for (let digits = 3; digits < 16; digits++) {
      words = values.map((value) => number(value, digits));
      if (new Set(words).size === words.length) break;
    }
    return { tickmode: "array", tickvals: values.map(at), ticktext: words };
  }

  // The buttons under the figure, and its data behind a fold.
  dress() {
    const actions = this.node.querySelector(".actions");
    if (!stage.none) {
      actions.append(button("PNG", () => this.png(), `of ${this.title}`));
      if (this.page.kind === "planes") actions.append(button("Reset view", () => this.views.reset(), `of ${this.title}`));
    }
    actions.append(button("CSV", () => this.csv(), `of ${this.title}`));
    const copy = this.node.querySelector(".copy");
    if (copy) copy.addEventListener("click", () => this.copy());
    const fold = this.node.querySelector(".data");
    fold.addEventListener("toggle", () => { if (fold.open) this.fill(fold.querySelector(".rows")); });
  }

  copy() {
    const code = this.node.querySelector(".command code");
    getSelection().selectAllChildren(code);
    if (navigator.clipboard) navigator.clipboard.writeText(code.textContent).then(() => tell("Copied."), () => {});
  }

  rows() { return this.page.kind === "planes" ? planeRows(this.page) : chartRows(this.page); }

  fill(place) {
    if (place.firstChild) return;
    const { columns, rows } = this.rows();
    const most = 1000;
    const cell = (value) => element("td", { textContent: typeof value === "number" ? number(value, 6) : value ?? "" });
    const body = rows.slice(0, most).map((row) => element("tr", {}, ...row.map(cell)));
    const head = element("tr", {}, ...columns.map((name) => element("th", { scope: "col", textContent: name })));
    const scroll = element("div", { className: "scroll", tabIndex: 0 }, element("table", {}, element("thead", {}, head), element("tbody", {}, ...body)));
    scroll.setAttribute("role", "region");
    scroll.setAttribute("aria-label", `Data of ${this.title}`);
    if (rows.length > most) place.append(element("p", { className: "key", textContent: `The first ${most} of ${rows.length} rows; the CSV has all.` }));
    place.append(scroll);
  }

  csv() {
    const { columns, rows } = this.rows();
    const text = [columns, ...rows].map((row) => row.map(csvCell).join(",")).join("\n");
    download(`${this.name}.csv`, new Blob([text, "\n"], { type: "text/csv" }));
  }

  // All plots of the figure where they stand on the page, with the headings, on white paper.
  async png() {
    const frame = this.host.getBoundingClientRect();
    const scale = 2, top = 34;
    const canvas = element("canvas", { width: frame.width * scale, height: (frame.height + top) * scale });
    const paper = canvas.getContext("2d");
    paper.scale(scale, scale);
    paper.fillStyle = "#fff";
    paper.fillRect(0, 0, frame.width, frame.height + top);
    paper.fillStyle = LIGHT.ink;
    paper.font = `bold 16px ${FONT_FAMILY}`;
    paper.fillText(this.title, 8, 22, frame.width - 16);
    paper.font = `bold 13px ${FONT_FAMILY}`;
    for (const heading of this.host.querySelectorAll("h4")) {
      const { left, bottom, width } = heading.getBoundingClientRect();
      if (width) paper.fillText(heading.textContent, left - frame.left + 4, bottom - frame.top + top - 5, width - 8);
    }
    for (const plot of this.plots) {
      const { left, top: at, width, height } = plot.node.getBoundingClientRect();
      if (!width) continue;
      const { data, layout } = plot.spec(LIGHT, width);
      const sized = { data, layout: { ...layout, width, height, paper_bgcolor: "#fff" } };
      const image = element("img", { src: await Plotly.toImage(sized, { format: "png", width, height, scale }) });
      await image.decode();
      paper.drawImage(image, left - frame.left, at - frame.top + top, width, height);
    }
    canvas.toBlob((blob) => download(`${this.name}.png`, blob));
  }

  controls(form) {
    form.addEventListener("submit", (event) => event.preventDefault());
    const redraw = () => this.redraw();
    if (this.page.scale) {
      const [clip, showClip] = this.clipControl(redraw);
      form.append(this.scaleControl(() => { showClip(); redraw(); }));
      if (!this.page.records) form.append(clip);
    }
    if (this.page.seeds.length > 1) form.append(this.seedControl(redraw));
    if (this.page.kind === "planes") form.append(this.pointsControl(redraw));
    if (this.page.records && this.page.records.values.length > 1) form.append(this.recordControl(redraw));
  }

  scaleControl(redraw) {
    const choice = (log, words) => {
      const input = element("input", { type: "radio", name: `${this.name}-scale`, value: words, checked: this.state.log === log });
      input.disabled = log && !this.page.scale.limits.log;
      input.addEventListener("change", () => { this.state.log = log; redraw(); });
      return element("label", {}, input, words);
    };
    return element("fieldset", {}, element("legend", { textContent: "scale" }), choice(false, "linear"), choice(true, "log"));
  }

  clipControl(redraw) {
    const id = `${this.name}-clip`;
    const slider = element("input", { type: "range", min: 0, max: 100, step: 1, id });
    const output = element("output", {});
    output.setAttribute("for", id);
    const ends = () => this.limits().map((value) => this.height(value));
    const show = () => {
      const [low, high] = ends();
      slider.value = this.state.clip === null ? 100 : Math.round((100 * (this.height(this.state.clip) - low)) / (high - low));
      const at = this.clippedAt();
      output.textContent = at === null ? "no clip" : number(at, 3);
      slider.setAttribute("aria-valuetext", output.textContent);
    };
    slider.addEventListener("input", () => {
      const [low, high] = ends();
      const at = low + ((high - low) * Math.max(Number(slider.value), 1)) / 100;
      this.state.clip = Number(slider.value) >= 100 ? null : this.state.log ? 10 ** at : at;
      show();
      redraw();
    });
    show();
    return [element("label", {}, element("span", { className: "name", textContent: "clip above" }), slider, output), show];
  }

  seedControl(redraw) {
    const select = element("select", {});
    this.page.seeds.forEach((name, index) => select.append(element("option", { value: index, textContent: name })));
    select.value = this.state.seed;
    select.addEventListener("change", () => { this.state.seed = Number(select.value); redraw(); });
    return element("label", {}, element("span", { className: "name", textContent: "direction seed" }), select);
  }

  pointsControl(redraw) {
    const box = element("input", { type: "checkbox", checked: this.state.points });
    box.addEventListener("change", () => { this.state.points = box.checked; redraw(); });
    return element("label", {}, box, "measured points");
  }

  // Singles out one record of many: the slider's left end shows all.
  recordControl(redraw) {
    const { name, values } = this.page.records;
    const slider = element("input", { type: "range", min: 0, max: values.length, step: 1, value: 0 });
    const output = element("output", { textContent: "all" });
    slider.addEventListener("input", () => {
      const chosen = Number(slider.value);
      this.state.record = chosen === 0 ? null : chosen - 1;
      output.textContent = this.state.record === null ? "all" : String(values[this.state.record]);
      slider.setAttribute("aria-valuetext", output.textContent);
      redraw();
    });
    return element("label", {}, element("span", { className: "name", textContent: name }), slider, output);
  }
}
