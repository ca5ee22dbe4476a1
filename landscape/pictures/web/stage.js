// Which plots are drawn: those on the screen, the nearest first, and of those that need WebGL only a few at once. All others
// are pictures, which printing shows too; they are made where nothing else is to be done.
const MOST_SOLID = 6; // a browser gives a page some 16 contexts; making a picture takes one more for a moment
const AHEAD = "300px"; // a plot that is so near to the screen is drawn

class Plot {
  // spec: (look, width) -> {data, layout}; solid: needs WebGL; drawn: called after each drawing.
  constructor(label, spec, { solid = false, drawn = () => {} } = {}) {
    Object.assign(this, { spec, solid, drawn, live: false, near: false, seen: false, fresh: false });
    this.box = element("div", { className: "plot" });
    this.image = element("img", { alt: "" });
    this.node = element("div", { className: `picture ${solid ? "solid" : "flat"}` }, this.box, this.image);
    this.node.setAttribute("role", "application");
    this.node.setAttribute("aria-roledescription", solid ? "surface" : "chart");
    this.node.setAttribute("aria-label", label);
    this.node.tabIndex = 0;
    stage.add(this);
  }

  get width() { return this.node.clientWidth || 480; }

  draw() {
    if (stage.none) return;
    const { data, layout } = this.spec(theme(), this.width);
    const sized = { ...layout, autosize: true, paper_bgcolor: theme().paper };
    Plotly.react(this.box, data, sized, CONFIG);
    this.node.classList.remove("resting");
    if (!this.live) { this.live = true; this.drawn(true); } else this.drawn(false);
    this.fresh = false;
    stage.idle();
  }

  redraw() {
    this.fresh = false;
    if (this.live) this.draw();
    else stage.idle();
  }

  // Give back what it takes; its picture stands for it.
  rest() {
    const contexts = [...this.box.querySelectorAll("canvas")].map((canvas) => canvas.getContext("webgl")).filter(Boolean);
    Plotly.purge(this.box);
    contexts.forEach((gl) => gl.getExtension("WEBGL_lose_context")?.loseContext());
    this.box.replaceChildren();
    this.live = false;
    this.node.classList.add("resting");
  }

  // Its picture on white paper, for printing, for downloads and for while it rests; made once for each way it is drawn.
  snap() {
    if (!this.fresh) this.snapped = this.make();
    return this.snapped;
  }

  async make() {
    const [width, height] = [this.width, this.node.clientHeight || 400];
    this.fresh = true;
    const { data, layout } = this.spec(LIGHT, width);
    const format = this.solid ? "png" : "svg";
    try {
      this.image.src = await Plotly.toImage({ data, layout: { ...layout, width, height, paper_bgcolor: "#fff" } },
        { format, width, height, scale: this.solid ? 2 : 1 });
      this.node.classList.add("snapped");
    } catch { /* without WebGL: nothing to show */ }
  }
}

const CONFIG = { responsive: true, displayModeBar: false, displaylogo: false, scrollZoom: false };

const stage = {
  plots: [],
  none: false,
  waiting: null,
  resting: null,

  add(plot) {
    this.plots.push(plot);
    if (!this.observer) this.observer = new IntersectionObserver((entries) => this.look(entries), { rootMargin: AHEAD });
    this.observer.observe(plot.node);
    plot.node.plot = plot;
  },

  look(entries) {
    for (const { target, isIntersecting } of entries) target.plot.near = isIntersecting;
    this.wake();
  },

  wake() {
    if (this.waiting === null) this.waiting = requestAnimationFrame(() => { this.waiting = null; this.next(); });
  },

  // Draws one plot, and comes again while there are more.
  next() {
    const wanted = this.plots.filter((plot) => plot.near && !plot.live && plot.node.clientWidth > 0);
    if (this.none || !wanted.length) { this.idle(); return; }
    wanted.sort((a, b) => distance(a) - distance(b));
    const chosen = wanted.find((plot) => !plot.solid || this.makeRoom(plot));
    if (!chosen) { this.idle(); return; }
    chosen.draw();
    document.documentElement.dataset.drawn = String(this.plots.filter((plot) => plot.live).length);
    this.wake();
  },

  // Whether one more surface may be drawn, after the farthest that nobody sees was put to rest.
  makeRoom(plot) {
    const solids = this.plots.filter((one) => one.solid && one.live);
    if (solids.length < MOST_SOLID) return true;
    const farthest = solids.sort((a, b) => distance(b) - distance(a))[0];
    if (farthest.near && distance(farthest) <= distance(plot)) return false;
    farthest.rest();
    return true;
  },

  idle() {
    if (this.none || this.resting !== null) return;
    const later = window.requestIdleCallback || ((act) => setTimeout(act, 50));
    this.resting = later(async () => {
      const plot = this.plots.find((one) => !one.fresh && one.node.clientWidth > 0);
      if (plot) await plot.snap();
      this.resting = null;
      if (plot) this.idle();
      else document.documentElement.dataset.printable = "yes";
    });
  },

  redraw() { this.plots.forEach((plot) => plot.redraw()); },
};

function distance(plot) {
  const { top, bottom } = plot.node.getBoundingClientRect();
  return Math.max(0, top - innerHeight, -bottom) + Math.abs(top) / 1e6;
}
