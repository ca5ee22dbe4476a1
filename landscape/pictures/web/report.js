// A page: its figures, its theme, its contents, and whether there is a newer one of it.
function tell(words) { document.getElementById("news").textContent = words; }

function start({ plotly, stamp, every }) {
  stage.none = !plotly;
  const root = document.documentElement;
  const hidden = new Set(kept.read("hidden") || []);
  root.dataset.theme = kept.read("theme") || "auto";
  const figures = [...document.querySelectorAll(".figure")].map((node) => new Figure(node, hidden));
  const runs = document.getElementById("runs");
  if (runs) startRuns(runs, hidden, () => { kept.write("hidden", [...hidden]); figures.forEach((figure) => figure.redraw()); });
  figures.forEach((figure) => figure.open());
  if (hidden.size) figures.forEach((figure) => figure.redraw());
  startControls(figures);
  startContents();
  startPrint();
  if (stage.none) root.dataset.printable = "yes";
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => stage.redraw());
  if (stamp) follow(stamp, every);
}

function startControls() {
  const form = document.getElementById("page-controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  const select = element("select", {});
  for (const name of ["auto", "light", "dark"]) select.append(element("option", { value: name, textContent: name }));
  select.value = document.documentElement.dataset.theme;
  select.addEventListener("change", () => {
    document.documentElement.dataset.theme = select.value;
    kept.write("theme", select.value);
    stage.redraw();
  });
  form.append(element("label", {}, element("span", { className: "name", textContent: "colours" }), select), button("Print", print_));
}

// Printing waits for the pictures of all plots, which are made where nothing else is to be done.
function print_() {
  const left = stage.none ? 0 : stage.plots.filter((plot) => !plot.fresh && plot.node.clientWidth > 0).length;
  if (!left) { tell(""); window.print(); return; }
  tell(`${left} pictures are being made for print …`);
  stage.idle();
  setTimeout(print_, 200);
}

// On paper nothing can be unfolded: what lies behind a fold is printed too, but for the data of figures.
function startPrint() {
  let opened = [];
  addEventListener("beforeprint", () => {
    opened = [...document.querySelectorAll("details.fold:not(.data):not([open])")];
    opened.forEach((fold) => { fold.open = true; });
  });
  addEventListener("afterprint", () => opened.forEach((fold) => { fold.open = false; }));
}

// The contents say which part is read; on a narrow page they are folded.
function startContents() {
  const nav = document.getElementById("contents");
  if (!nav) return;
  if (innerWidth <= 900) nav.querySelector("details").open = false;
  const links = new Map([...nav.querySelectorAll("a")].map((link) => [link.hash.slice(1), link]));
  const seen = new Set();
  const observer = new IntersectionObserver((entries) => {
    for (const { target, isIntersecting } of entries) isIntersecting ? seen.add(target.id) : seen.delete(target.id);
    const current = [...links.keys()].filter((id) => seen.has(id)).pop();
    for (const [id, link] of links) id === current ? link.setAttribute("aria-current", "true") : link.removeAttribute("aria-current");
  }, { rootMargin: "0px 0px -70% 0px" });
  for (const id of links.keys()) observer.observe(document.getElementById(id));
}

// Looks every so many milliseconds at the small file beside the page; where it names another page than this one, it is read anew.
function follow({ file, value }, every) {
  window.landscapeStamp = (now) => {
    if (now === value) return;
    kept.write("scroll", scrollY);
    location.reload();
  };
  const at = kept.read("scroll");
  if (at) { kept.write("scroll", 0); requestAnimationFrame(() => scrollTo({ top: at, behavior: "instant" })); }
  setInterval(() => {
    const script = element("script", { src: `${file}?${Date.now()}` });
    script.onload = script.onerror = () => script.remove();
    document.head.append(script);
  }, every);
}
