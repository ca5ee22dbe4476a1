// The table of runs: sorted by its heads, filtered by words; a run that is hidden leaves every figure.
function startRuns(table, hidden, changed) {
  const body = table.tBodies[0];
  const rows = [...body.rows];
  const form = document.getElementById("runs-controls");
  form.addEventListener("submit", (event) => event.preventDefault());
  const boxes = rows.map((row) => showBox(row, hidden, changed));
  table.tHead.rows[0].prepend(element("th", { scope: "col", textContent: "shown" }));
  sortable(table, rows);
  const search = element("input", { type: "search", placeholder: "words, such as batch 0.01" });
  const count = element("output", {});
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const row of rows) row.hidden = !words.every((word) => row.textContent.toLowerCase().includes(word));
    const left = rows.filter((row) => !row.hidden).length;
    count.textContent = left === rows.length ? `${rows.length} runs` : `${left} of ${rows.length} runs`;
    kept.write("filter", search.value);
  };
  const set = (wanted) => {
    rows.forEach((row, i) => { boxes[i].checked = wanted(row); mark(row, boxes[i], hidden); });
    changed();
  };
  search.addEventListener("input", filter);
  search.value = kept.read("filter") || "";
  form.append(
    element("label", {}, element("span", { className: "name", textContent: "filter" }), search), count,
    button("Show these alone", () => set((row) => !row.hidden), "in all figures"), button("Show all", () => set(() => true), "in all figures"),
  );
  filter();
}

function showBox(row, hidden, changed) {
  const box = element("input", { type: "checkbox", checked: !hidden.has(row.dataset.run) });
  box.setAttribute("aria-label", `show ${row.cells[0].textContent} in the figures`);
  box.addEventListener("change", () => { mark(row, box, hidden); changed(); });
  row.prepend(element("td", {}, box));
  row.classList.toggle("away", !box.checked);
  return box;
}

function mark(row, box, hidden) {
  if (box.checked) hidden.delete(row.dataset.run);
  else hidden.add(row.dataset.run);
  row.classList.toggle("away", !box.checked);
}

function sortable(table, rows) {
  [...table.tHead.rows[0].cells].forEach((head, at) => {
    if (at === 0) return;
    const words = head.textContent;
    head.replaceChildren(button(words, () => {
      const up = head.getAttribute("aria-sort") !== "ascending";
      for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", up ? "ascending" : "descending");
      const sorted = [...rows].sort((a, b) => (up ? 1 : -1) * inOrder(a.cells[at].textContent, b.cells[at].textContent));
      table.tBodies[0].append(...sorted);
    }));
  });
}

// Numbers by their size, before all texts; texts as a reader's language has them, with the numbers in them by size.
function inOrder(one, other) {
  const [a, b] = [one, other].map((text) => Number.parseFloat(text.replace(/,/g, "").replace("−", "-")));
  if (!Number.isNaN(a) && !Number.isNaN(b) && a !== b) return a - b;
  if (Number.isNaN(a) !== Number.isNaN(b)) return Number.isNaN(a) ? 1 : -1;
  return one.localeCompare(other, undefined, { numeric: true });
}
