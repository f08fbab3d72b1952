// The page: heading, what is shown and selected, and the theme.

const view = { problem: "", filter: "", selected: null };
let planTable, siteTable, kernelTable, panes;

// --- heading --------------------------------------------------------------------------------------

function drawHeading() {
  const first = rows.find((r) => r.ran) ?? rows[0] ?? {};
  const values = (key) => [...new Set(rows.map((r) => r[key]).filter((v) => v !== null && v !== ""))];
  const subject = problems.length === 1 ? problems[0] : `${problems.length} problems`;
  document.title = `winnow ${data.command ?? ""}: ${subject}`;
  byId("command").textContent = data.command ?? "";
  byId("subject").textContent = subject;
  byId("line").textContent = data.line ?? "";
  byId("copy").hidden = !data.line || !navigator.clipboard;
  byId("copy").addEventListener("click", async () => {
    try {
      await navigator.clipboard.writeText(data.line);
      byId("copy").textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(byId("line"));
    }
  });
  const limits = data.limits[first.limits] ?? null;
  const facts = [
    ["Device", values("device").join(", ")],
    ["Backend", [values("backend").join(", "), values("isa").join(", "), known(first.threads) ? `${first.threads} thread${first.threads === 1 ? "" : "s"}` : ""].filter(Boolean).join(", ")],
    ["Compiler", data.compiler],
    ["winnow", data.version],
    ["System", data.system],
    ["Date", data.date ? data.date.replace("T", " ").replace("Z", " UTC") : ""],
    ["Weights", values("weights").join(", ")],
    ["Promise", `${values("math").join(", ")}${known(first.promise) && problems.length === 1 ? `: relative L2 error at most ${first.promise.toExponential(1)}` : ""}`],
    ["Limits", limits ? `${figure(limits.flops * 1e-9)} GFLOP/s; ${limits.levels.map((l) => `${l.name} ${figure(l.rate * 1e-9)}`).join(", ")} GB/s (measured)` : "not measured"],
  ];
  byId("facts").replaceChildren(...facts.filter(([, text]) => text).map(([name, text]) => el("div", {}, el("dt", {}, name), el("dd", {}, text))));
  const tally = (name, test, bad) => {
    const n = rows.filter(test).length;
    return el("li", { class: bad && n ? "bad" : null }, el("b", {}, n), ` ${name}`);
  };
  byId("counts").replaceChildren(
    tally((data.command === "compare" ? "plan" : "problem") + (rows.length === 1 ? "" : "s"), () => true, false),
    tally("fell back to the interpreter", (r) => r.fallback !== null, true),
    tally("refused", (r) => r.refused !== null, true),
    tally("outside the error promise", (r) => r.promise_missed, true),
    tally("wrong", (r) => r.wrong, true));
}

// --- what is shown ----------------------------------------------------------------------------------

function shownRows() {
  return rows.filter((r) => (!view.problem || r.problem === view.problem) && (!view.filter || r.words.includes(view.filter)));
}

// What is at hand at once. The table comes first: figures ask for their width, which lays out all that is there.
function updateFirst(list) {
  const shown = planTable.show(new Set(list));
  byId("plans-count").textContent = shown === rows.length ? String(shown) : `${shown} of ${rows.length}`;
  drawScatter(list);
  drawRoofline(list);
}

// What is further down, and can wait until the first of it is on the screen.
function updateRest(list) {
  drawTimeline(list);
  siteTable.show(new Set(list));
  byId("sites-count").textContent = String(list.reduce((sum, r) => sum + r.sites.length, 0));
  kernelTable.show(new Set(list));
  byId("kernels-count").textContent = String(list.reduce((sum, r) => sum + r.launches.length, 0));
  for (const pane of panes) pane.offer(list);
  markSelected();
}

function update() {
  const list = shownRows();
  updateFirst(list);
  updateRest(list);
}

function drawFigures() {
  const list = shownRows();
  drawScatter(list);
  drawRoofline(list);
  drawTimeline(list);
  markSelected();
}

// Clicking what is selected lets go of it.
function select(row) {
  view.selected = view.selected === row ? null : row;
  drawScatter(shownRows()); // its label
  markSelected();
}

function markSelected() {
  const row = view.selected, chosen = row === null ? [] : [String(row.index), String(row.twin.index)];
  for (const node of document.querySelectorAll("[data-row]")) node.classList.toggle("selected", chosen.includes(node.dataset.row));
  document.documentElement.classList.toggle("has-selection", row !== null);
}

function choosePanes() {
  const ran = rows.filter((r) => r.run.length && !r.bad).sort((a, b) => a.median_us - b.median_us);
  const heaviest = (row) => row?.run.reduce((a, b) => ((b.us ?? 0) > (a.us ?? 0) ? b : a));
  const fastest = heaviest(ran[0]) ?? rows.flatMap((r) => r.launches)[0];
  if (!fastest) {
    byId("sources").hidden = true;
    return;
  }
  const other = heaviest(ran.find((r) => r.plan === "old" && r !== ran[0]) ?? ran.find((r) => heaviest(r).number !== fastest.number));
  panes[0].show(fastest);
  panes[1].show(other ?? fastest);
}

// --- controls ---------------------------------------------------------------------------------------

function wireTheme() {
  const root = document.documentElement;
  for (const radio of document.getElementsByName("theme")) {
    radio.checked = radio.value === (root.dataset.theme ?? "system");
    radio.addEventListener("change", () => {
      if (radio.value === "system") delete root.dataset.theme;
      else root.dataset.theme = radio.value;
      try {
        localStorage.setItem("winnow-theme", radio.value);
      } catch { /* the choice lasts as long as the page */ }
    });
  }
}

function wireControls() {
  const picker = byId("problem");
  byId("problem-picker").hidden = problems.length < 2;
  picker.append(el("option", { value: "" }, "all"), ...problems.map((p) => el("option", { value: p }, p)));
  picker.value = view.problem;
  picker.addEventListener("change", () => {
    view.problem = picker.value;
    update();
  });
  let waiting = 0;
  byId("filter").addEventListener("input", () => {
    clearTimeout(waiting);
    waiting = setTimeout(() => {
      view.filter = byId("filter").value.trim().toLowerCase();
      update();
    }, 120);
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    hideTip();
    if (view.selected) select(view.selected);
  });
  let width = innerWidth, pending = 0;
  addEventListener("resize", () => {
    if (innerWidth === width || pending) return;
    pending = requestAnimationFrame(() => {
      pending = 0;
      width = innerWidth;
      drawFigures();
    });
  });
}

// A comparison shows one problem at a time, a bench all of them.
if (data.command === "compare" && problems.length > 1) view.problem = problems[0];
drawHeading();
wireTheme();
planTable = new Table(byId("plan-table"), planColumns(), rows, { rowOf: (row) => row, notesOf: (row) => row.reasons, onPick: select });
updateFirst(shownRows());
requestAnimationFrame(() => setTimeout(() => {
  const sites = rows.filter((r) => r.same_as === null).flatMap((r) => r.sites);
  for (const node of [byId("sites"), document.querySelector('nav a[href="#sites"]')]) node.hidden = !sites.length;
  siteTable = new Table(byId("site-table"), siteColumns(), sites, { rowOf: (site) => site.row, notesOf: () => [], onPick: select });
  kernelTable = new Table(byId("kernel-table"), kernelColumns(), rows.filter((r) => r.same_as === null).flatMap((r) => r.launches), {
    rowOf: (launch) => launch.row,
    notesOf: (launch) => (launch.kernel.fallback === null ? [] : [{ bad: true, text: `interpreted: ${launch.kernel.fallback}` }]),
    onPick: select,
  });
  panes = [new Pane(byId("pane-a"), "left"), new Pane(byId("pane-b"), "right")];
  drawLegend();
  updateRest(shownRows());
  choosePanes();
  wireControls();
  document.documentElement.dataset.ready = String(Math.round(performance.now()));
}));
