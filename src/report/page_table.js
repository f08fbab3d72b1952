// Tables that sort by every column.
//
// In: columns and items. Out: a table whose headings are buttons. Always holds: an item and the reason below
// it are one <tbody>, so they move together; what is not known comes last in either direction; equal values
// keep the order of the data.

// A column: key, title, hint (what it means), text(item) -> string or node, value(item) -> number, string or
// null; high: larger is better, and comes first; best: the best value stands out; left: texts.
class Table {
  constructor(place, columns, items, { rowOf, notesOf, onPick }) {
    this.columns = columns.filter((c) => c.always || items.some((item) => c.value(item) !== null && c.value(item) !== ""));
    this.items = items;
    this.rowOf = rowOf;
    this.sorted = null;
    this.down = false;
    this.table = el("table", {}, el("thead", {}, el("tr", {}, this.columns.map((c) => this.heading(c)))));
    this.bodies = items.map((item, index) => this.body(item, index, notesOf(item), onPick));
    this.table.append(...this.bodies);
    place.replaceChildren(this.table);
  }

  heading(column) {
    const button = el("button", { type: "button", title: column.hint, onclick: () => this.sort(column) },
      column.title, el("span", { class: "arrow", "aria-hidden": "true" }));
    return el("th", { scope: "col", class: column.left ? "left" : null, "aria-sort": "none", "data-key": column.key }, button);
  }

  body(item, index, notes, onPick) {
    const row = this.rowOf(item);
    const cells = this.columns.map((c, i) => {
      const content = c.text(item);
      return el(i ? "td" : "th", { class: c.left ? "left" : null, scope: i ? null : "row", "data-key": c.key }, content);
    });
    const lines = [el("tr", {}, cells)];
    for (const note of notes)
      lines.push(el("tr", { class: "reason" }, el("td", { class: "left", colspan: this.columns.length },
        el("span", {}, note.text))));
    const body = el("tbody", {
      class: notes.some((n) => n.bad) ? "bad noted" : notes.length ? "noted" : null, "data-row": row.index, "data-item": index,
    }, lines);
    body.addEventListener("click", (event) => {
      if (!event.target.closest("button, a, select")) onPick(row);
    });
    return body;
  }

  sort(column) {
    const again = this.sorted === column;
    this.down = again ? !this.down : Boolean(column.high);
    this.sorted = column;
    const sign = this.down ? -1 : 1;
    const order = this.items.map((item, index) => ({ index, value: column.value(item) }));
    order.sort((a, b) => {
      const missing = (a.value === null) - (b.value === null);
      if (missing || a.value === null) return missing || a.index - b.index;
      const less = typeof a.value === "string" ? a.value.localeCompare(b.value, "en", { numeric: true }) : a.value - b.value;
      return sign * less || a.index - b.index;
    });
    for (const th of this.table.tHead.rows[0].cells)
      th.setAttribute("aria-sort", th.dataset.key === column.key ? (this.down ? "descending" : "ascending") : "none");
    this.table.append(...order.map(({ index }) => this.bodies[index]));
  }

  // Hides what is not in `shown`, a set of rows, and marks the best value of each column among the rest.
  show(shown) {
    const visible = [];
    this.bodies.forEach((body, i) => {
      body.hidden = !shown.has(this.rowOf(this.items[i]));
      if (!body.hidden) visible.push(i);
    });
    const compare = new Set([...shown].map((row) => row.problem)).size < 2; // of several problems none is best
    this.columns.forEach((c, at) => {
      if (!c.best) return;
      const values = visible.filter((i) => !this.bodies[i].classList.contains("bad")).map((i) => c.value(this.items[i])).filter(known);
      const best = c.high ? Math.max(...values) : Math.min(...values);
      // what is written alike is as good; where that is most of them it tells nothing
      const alike = (v) => known(v) && v.toPrecision(2) === best.toPrecision(2) && Math.abs(v - best) <= 0.005 * Math.abs(best);
      const tells = values.filter(alike).length * 2 <= values.length;
      for (const i of visible)
        this.bodies[i].rows[0].cells[at].classList.toggle("best", compare && tells && alike(c.value(this.items[i])));
    });
    return visible.length;
  }
}

// A number on its way from 1e-8 to 1e-3, the promise a mark on it.
function errorCell(row) {
  if (!known(row.rel_l2_err)) return "";
  const at = (v) => `${Math.min(98, Math.max(0, ((Math.log10(v) + 8) / 5) * 100)).toFixed(0)}%`;
  const title = known(row.promise)
    ? `${figure(row.rel_l2_err / row.promise)} of the promise, ${row.promise.toExponential(1)}` : null;
  const cell = el("span", { class: "error", title }, power(row.rel_l2_err));
  cell.style.setProperty("--level", at(row.rel_l2_err));
  if (known(row.promise)) cell.style.setProperty("--promise", at(row.promise));
  return cell;
}

function planButton(row) {
  return el("button", { type: "button", class: "plan", title: row.placement, onclick: () => select(row) }, row.label ?? "");
}

// Plans that are the same program were measured once.
function planCell(row) {
  if (row.same_as === null) return planButton(row);
  const text = `the same program as ${row.same_as}`;
  return [planButton(row), el("span", { class: "dim same", title: text, role: "img", "aria-label": text }, " =")];
}

const field = (key, write) => ({ key, text: (r) => write(r[key]), value: (r) => (known(r[key]) ? r[key] : null) });

function planColumns() {
  return [
    { key: "plan", title: "plan", left: true, always: true, hint: "as asked for; = is the same program as another", text: planCell, value: (r) => r.label },
    ...(problems.length > 1 ? [{
      key: "problem", title: "problem", left: true, hint: "benchdnn's notation",
      text: (r) => el("span", { class: "mono", title: r.problem }, shortProblem(r.problem)), value: (r) => r.problem,
    }] : []),
    { key: "wino", title: "F(m)", left: true, hint: "output positions of a tile, an axis each", text: (r) => r.wino ?? "", value: (r) => r.wino },
    { ...field("median_us", figure), title: "median µs", hint: "of a run, in rounds in which the plans take turns", best: true },
    { ...field("min_us", figure), title: "min µs", hint: "the fastest run", best: true },
    { ...field("predicted_us", figure), title: "predicted µs", hint: "by the cost model, before anything was run" },
    { ...field("ratioDirect", figure), title: "×direct", hint: "times as fast as direct", best: true, high: true },
    { ...field("ratioOld", figure), title: "×old", hint: "times as fast as old", best: true, high: true },
    { key: "pareto", title: "front", left: true, hint: "no plan is better in time, memory and compile cost at once", text: (r) => (r.pareto ? "yes" : ""), value: (r) => (r.pareto ? 1 : null), high: true },
    { ...field("kernels", count), title: "kernels", hint: "launches of a run", best: true },
    { ...field("buffers", count), title: "buffers", hint: "arrays that are written, the result included", best: true },
    { ...field("workspace_bytes", bytes), title: "workspace", hint: "memory that a run needs besides inputs, weights and result", best: true },
    { ...field("prepared_bytes", bytes), title: "prepared", hint: "bytes of prepared weights" },
    { ...field("prepare_us", figure), title: "prep µs", hint: "preparing constant weights, once" },
    { ...field("schedule_ms", figure), title: "sched ms", hint: "from tensor graph to kernels", best: true },
    {
      key: "compile_ms", title: "comp ms", hint: "from kernels to machine code",
      text: (r) => (r.cached ? el("span", { class: "dim", title: `found in the cache: ${figure(r.compile_ms)} ms` }, "cached") : figure(r.compile_ms)),
      value: (r) => (known(r.compile_ms) ? r.compile_ms : null),
    },
    { ...field("source_lines", count), title: "lines", hint: "of all kernels' source", best: true },
    { ...field("registers", count), title: "regs", hint: "most vector registers of a kernel" },
    { ...field("spills", count), title: "spills", hint: "most values of a kernel that found no register", best: true },
    { key: "rel_l2_err", title: "rel L2 error", hint: "against float64, relative to the result; the mark is what is promised of independent noise", text: errorCell, value: (r) => (known(r.rel_l2_err) ? r.rel_l2_err : null), best: true },
    { ...field("rel_sum_err", power), title: "of sums", hint: "the same error relative to what was summed, |w| convolved with |x|: promised of any data", best: true },
    { ...field("max_abs_err", power), title: "max error", hint: "largest absolute error", best: true },
    { ...field("gflops_effective", figure), title: "GFLOP/s", hint: "of the direct convolution's operations", best: true, high: true },
    { ...field("gflops_executed", figure), title: "executed", hint: "operations that ran, in GFLOP/s", high: true },
    { ...field("roofline_share", share), title: "roofline", hint: "share of what the machine could do at its measured limits", best: true, high: true },
  ];
}

const siteText = (site) => (site ? `${site.label}${site.name === null ? "" : ` "${site.name}"`}` : "");

// What a plan says something about, of programs that have more than one.
function siteColumns() {
  const of = (key, write, value = (v) => (known(v) ? v : null)) => ({ key, text: (s) => write(s[key]), value: (s) => value(s[key]) });
  const text = (v) => v ?? "";
  const mono = (v) => el("span", { class: "mono", title: v }, v ?? "");
  return [
    { key: "plan", title: "plan", left: true, always: true, hint: "whose site it is", text: (s) => planButton(s.row), value: (s) => s.row.label },
    ...(problems.length > 1 ? [{ key: "problem", title: "problem", left: true, hint: "benchdnn's notation", text: (s) => mono(shortProblem(s.row.problem)), value: (s) => s.row.problem }] : []),
    { ...of("label", text, text), title: "site", left: true, always: true, hint: "kind and number, as plans name it" },
    { key: "name", title: "name", left: true, hint: "that its maker gave it", text: (s) => el("span", { class: "long", title: s.name }, s.name ?? ""), value: (s) => s.name },
    { ...of("shape", mono, text), title: "shape", left: true, hint: "of the value that it stores" },
    { ...of("median_us", figure), title: "µs", hint: "of its kernels, with a clock around each" },
    { ...of("share", share), title: "share", hint: "of all kernels' time", high: true },
    { ...of("predicted_us", figure), title: "predicted µs", hint: "by the cost model, before anything was run" },
    { ...of("roofline", share), title: "roofline", hint: "share of what the machine could do at its measured limits", high: true },
    { ...of("bytes", bytes), title: "bytes", hint: "of the arrays that it writes" },
    { ...of("kernels", count), title: "kernels", hint: "launches of a run that belong to it" },
    { ...of("alike", text, (v) => v), title: "alike", left: true, hint: "the first site that is the same computation" },
    { key: "tuned", title: "tuned", left: true, hint: "its schedule was measured to be the fastest", text: (s) => (s.tuned ? "yes" : ""), value: (s) => (s.tuned ? 1 : null), high: true },
    { ...of("layout", text, (v) => v), title: "layout", left: true, hint: "order in memory of what it stores: as given, or channels last; empty where there is one only" },
    { ...of("layout_why", text, (v) => v), title: "its reason", left: true, hint: "of the layout: it was chosen or said, or why there is one only" },
    { ...of("layout_us", figure), title: "other layout µs", hint: "that a run would take more in the other order" },
    { key: "plan_why", title: "why", left: true, hint: "it has its schedule, or has no other", text: (s) => el("span", { class: "long", title: s.plan_why }, s.plan_why ?? ""), value: (s) => s.plan_why },
    { ...of("direct_us", figure), title: "direct µs", hint: "predicted of direct in its place" },
    { ...of("other_us", figure), title: "other µs", hint: "predicted of the best other tile or placement" },
    { key: "other", title: "other", left: true, hint: "the best schedule of another tile or placement", text: (s) => el("span", { class: "mono long", title: s.other }, s.other ?? ""), value: (s) => s.other },
    { key: "schedule", title: "schedule", left: true, hint: "what stands in its braces in a plan", text: (s) => el("span", { class: "mono long", title: s.schedule }, s.schedule ?? ""), value: (s) => s.schedule },
  ];
}

function kernelColumns() {
  const of = (key, write) => ({
    key, text: (l) => write(l.kernel[key]), value: (l) => (known(l.kernel[key]) ? l.kernel[key] : null),
  });
  return [
    { key: "plan", title: "plan", left: true, always: true, hint: "whose kernel it is", text: (l) => planButton(l.row), value: (l) => l.row.label },
    ...(problems.length > 1 ? [{ key: "problem", title: "problem", left: true, hint: "benchdnn's notation", text: (l) => el("span", { class: "mono" }, shortProblem(l.row.problem)), value: (l) => l.row.problem }] : []),
    { key: "name", title: "kernel", left: true, always: true, hint: "r_ sums, E_ does not; the extents of its loops", text: (l) => kernelName(l.kernel), value: (l) => l.kernel.name },
    { key: "stage", title: "computes", left: true, hint: "stages, those computed inside others first", text: (l) => (l.kernel.prepare ? `${l.kernel.stage ?? ""} (once)` : l.kernel.stage ?? ""), value: (l) => l.kernel.stage },
    { key: "site", title: "site", left: true, hint: "that it belongs to", text: (l) => el("span", { class: "long", title: l.site?.name }, siteText(l.site)), value: (l) => (l.site ? siteText(l.site) : null) },
    { key: "us", title: "µs", hint: "median, with a clock around each kernel", text: (l) => figure(l.us), value: (l) => (known(l.us) ? l.us : null) },
    { key: "share", title: "share", hint: "of the plan's run", text: (l) => share(l.share), value: (l) => l.share, high: true },
    { key: "gflops", title: "GFLOP/s", hint: "operations that it executes", text: (l) => figure(l.gflops), value: (l) => l.gflops, high: true },
    { key: "gbytes", title: "GB/s", hint: "bytes of the arrays that it reads and writes", text: (l) => figure(l.gbytes), value: (l) => l.gbytes, high: true },
    { key: "intensity", title: "FLOP/B", hint: "arithmetic intensity", text: (l) => figure(l.intensity), value: (l) => l.intensity, high: true },
    { ...of("flops", amount), title: "FLOPs", hint: "executed in a run" },
    { ...of("bytes", bytes), title: "bytes", hint: "of the arrays that it reads, and again of those it writes" },
    { ...of("source_lines", count), title: "lines", hint: "of its source" },
    { ...of("registers", count), title: "regs", hint: "vector registers" },
    { ...of("spills", count), title: "spills", hint: "values that found no register" },
    {
      key: "open", title: "source", left: true, hint: "open beside another; sorts by length",
      text: (l) => [["left", 0], ["right", 1]].map(([name, side]) =>
        el("button", { type: "button", class: "open", "aria-label": `${l.kernel.name} of ${l.row.label} in the ${name} pane`, onclick: () => panes[side].show(l, true) }, name)),
      value: (l) => (known(l.kernel.source_lines) ? l.kernel.source_lines : null),
    },
  ];
}
