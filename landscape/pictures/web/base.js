// What everything on a page uses: how elements are made, numbers written, and colours shown on light and dark paper.
const FONT_FAMILY = '"DejaVu Sans", "Segoe UI", Helvetica, Arial, sans-serif';
const MARK = "#e51e8b";
const LEAST_CONTRAST = 3; // of a line against the page (WCAG 2.2, 1.4.11)

function element(tag, attributes = {}, ...children) {
  const made = Object.assign(document.createElement(tag), attributes);
  made.append(...children);
  return made;
}

// As many columns of at least so many pixels as the grid has room for, but not so many that its last row is nearly empty.
// What it gives is to be called where panels were hidden or shown.
function balanced(grid, least) {
  const set = () => {
    const count = [...grid.children].filter((node) => !node.hidden && !node.matches(".strip, .wide")).length;
    const most = Math.max(1, Math.floor((grid.clientWidth + 16) / (least + 16)));
    const columns = Math.max(1, Math.ceil(count / Math.ceil(count / most)));
    grid.style.gridTemplateColumns = `repeat(${columns || 1}, minmax(0, 1fr))`;
  };
  new ResizeObserver(set).observe(grid);
  return set;
}

function button(words, act, more = "") {
  const made = element("button", { type: "button", textContent: words });
  if (more) made.append(element("span", { className: "unseen", textContent: ` ${more}` }));
  made.addEventListener("click", act);
  return made;
}

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

// The other way: texts for plotly, as a reader without markup has them.
function unmarked(text) {
  return text.replace(/<br>/g, ", ").replace(/&lt;/g, "<").replace(/&gt;/g, ">").replace(/&amp;/g, "&");
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

const LIGHT = { paper: "#fff", ink: "#222", grid: "#eee", missing: "#e4e4e4", dark: false };
const DARK = { paper: "#14171a", ink: "#e6e8ea", grid: "#2a2f35", missing: "#3a3f45", dark: true };

function theme() {
  const chosen = document.documentElement.dataset.theme;
  const dark = chosen === "auto" ? matchMedia("(prefers-color-scheme: dark)").matches : chosen === "dark";
  return dark ? DARK : LIGHT;
}

// A colour, made lighter on dark paper until it stands out from it.
function shown(colour, look) {
  if (!look.dark) return colour;
  const parts = colour.startsWith("#") ? hexParts(colour) : colour.match(/[\d.]+/g).map(Number);
  const [red, green, blue] = parts;
  for (let part = 0; part < 1; part += 0.05) {
    const mixed = [red, green, blue].map((c) => Math.round(c + (235 - c) * part));
    if (contrast(mixed, hexParts(look.paper)) >= LEAST_CONTRAST) {
      return parts.length > 3 ? `rgba(${mixed},${Math.min(1, 1.3 * parts[3])})` : `rgb(${mixed})`;
    }
  }
  return look.ink;
}

function hexParts(colour) {
  const long = colour.length === 4 ? [...colour.slice(1)].map((c) => c + c).join("") : colour.slice(1);
  return [0, 2, 4].map((at) => parseInt(long.slice(at, at + 2), 16));
}

function contrast(one, other) {
  const luminance = (parts) => parts.map((c) => c / 255).map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const [high, low] = [luminance(one), luminance(other)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

// A text file, or what a canvas holds, as a download.
function download(name, blob) {
  const link = element("a", { href: URL.createObjectURL(blob), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10000);
}

// A cell of CSV; a text that a spreadsheet would run is quoted as one.
function csvCell(value) {
  if (typeof value === "number") return String(value);
  const text = value === null || value === undefined ? "" : String(value);
  const safe = /^\s*[=+\-@＝＋－＠]/.test(text) && Number.isNaN(Number(text)) ? `'${text}` : text;
  return /[",\n]/.test(safe) ? `"${safe.replace(/"/g, '""')}"` : safe;
}

// What a reader chose is kept while the page is read anew; without storage it is not.
const kept = {
  read(name) {
    try { return JSON.parse(sessionStorage.getItem(`${location.pathname}:${name}`)); } catch { return null; }
  },
  write(name, value) {
    try { sessionStorage.setItem(`${location.pathname}:${name}`, JSON.stringify(value)); } catch { /* nowhere to keep it */ }
  },
};
