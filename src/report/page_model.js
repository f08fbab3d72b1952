// The data, what follows from it, and how figures are written.
//
// In: the element #data (html.c). Out: `rows`, each with its launches, ratios, state and reasons, and the
// functions that make elements. Always holds: texts of the data become text nodes, never markup.
"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const kernels = data.kernels;
const rows = data.rows;

// --- elements ---------------------------------------------------------------------------------

function build(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined));
  return node;
}

const el = (tag, attributes, ...children) => build(document.createElement(tag), attributes, children);
const svg = (tag, attributes, ...children) =>
  build(document.createElementNS("http://www.w3.org/2000/svg", tag), attributes, children);
const byId = (id) => document.getElementById(id);

// --- figures ----------------------------------------------------------------------------------

const known = (v) => v !== null && v !== undefined && Number.isFinite(v);

// Three significant digits where there are fewer before the point: 0.57, 9.41, 41.2, 1234.
function figure(v) {
  if (!known(v)) return "";
  const size = Math.abs(v);
  if (size >= 99.95) return String(Math.round(v));
  if (size >= 9.995) return v.toFixed(1);
  return size >= 0.0095 || size === 0 ? v.toFixed(2) : v.toPrecision(2);
}

function bytes(v) {
  if (!known(v)) return "";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let u = 0;
  for (; v >= 1024 && u < units.length - 1; ++u) v /= 1024;
  return `${u && v < 10 ? v.toFixed(1) : Math.round(v)} ${units[u]}`;
}

// Of a time in µs: 0.57 µs, 41.2 ms, 1.20 s.
function duration(us) {
  if (!known(us)) return "";
  return us < 1e4 ? `${figure(us)} µs` : us < 1e7 ? `${figure(us / 1e3)} ms` : `${figure(us / 1e6)} s`;
}

// Of a large count: 4.72 M.
function amount(v) {
  if (!known(v)) return "";
  const units = ["", " k", " M", " G", " T"];
  let u = 0;
  for (; v >= 1000 && u < units.length - 1; ++u) v /= 1000;
  return figure(v).replace(/\.00$/, "") + units[u];
}

const count = (v) => (known(v) ? String(v) : "");
const share = (v) => (known(v) ? `${figure(100 * v)}%` : "");
const power = (v) => (known(v) ? v.toExponential(1) : "");

// --- rows -------------------------------------------------------------------------------------

// What a stage computes decides its colour; "x1" is the second convolution's x.
const stages = [
  { key: "x", name: "input transform x" },
  { key: "g", name: "filter transform g" },
  { key: "m", name: "products m" },
  { key: "o", name: "output transform, result" },
  { key: "b", name: "another array" },
];

function stagesOf(text) {
  const found = new Set();
  for (const word of (text ?? "").split("+")) {
    const letter = /^(x|g|m|o|result)\d*$/.exec(word)?.[1];
    found.add(letter === "result" ? "o" : letter ?? "b");
  }
  return stages.map((s) => s.key).filter((key) => found.has(key));
}

// "r_16_8_4: ..." from the schedule's own words; problems have names at their end, n"resnet:conv2".
const shortProblem = (text) => /n"([^"]+)"$/.exec(text ?? "")?.[1] ?? text ?? "";

function reasonsOf(row) {
  const list = [];
  if (row.refused !== null) list.push({ bad: true, text: `refused: ${row.refused}` });
  if (row.wrong) list.push({ bad: true, text: "WRONG RESULT" });
  if (row.fallback !== null)
    list.push({ bad: true, text: `${row.stopped ? "stopped by --strict" : "ran in the interpreter"}: ${row.fallback}` });
  if (row.promise_missed) list.push({ bad: true, text: `misses the error promise of ${row.math ?? "fp32"}` });
  if (row.note !== null) list.push({ bad: false, text: row.note });
  return list;
}

// The row whose program this one shares and with which it was measured; itself where there is none.
function twinOf(row) {
  if (row.same_as === null) return row;
  return rows.find((r) => r.same_as === null && r.problem === row.problem && r.weights === row.weights &&
    (r.plan === row.same_as || r.placement === row.same_as)) ?? row;
}

// Each program once: what figures draw.
const distinct = (list) => list.filter((row) => row.twin === row || !list.includes(row.twin));

const problems = [...new Set(rows.map((row) => row.problem))];

function prepareRows() {
  const timed = (plan, like) =>
    rows.find((r) => r.plan === plan && r.problem === like.problem && r.weights === like.weights)?.median_us;
  const tiles = new Map(); // of a plan of a problem: with several, its label says which
  const keyOf = (row) => `${row.problem}\n${row.plan}`;
  for (const row of rows) tiles.set(keyOf(row), (tiles.get(keyOf(row)) ?? new Set()).add(row.wino));
  rows.forEach((row, index) => {
    row.index = index;
    row.sites.forEach((site) => {
      site.row = row;
      site.roofline = known(site.least_us) && site.median_us > 0 ? site.least_us / site.median_us : null;
    });
    row.launches = row.kernel.map(([number, us, site]) => {
      const k = kernels[number];
      return {
        row, us, kernel: k, number, site: row.sites[site] ?? null,
        gflops: known(us) && !k.prepare ? (k.flops / us) * 1e-3 : null,
        gbytes: known(us) && !k.prepare ? (k.bytes / us) * 1e-3 : null,
        intensity: k.bytes > 0 ? k.flops / k.bytes : null,
      };
    });
    row.run = row.launches.filter((l) => !l.kernel.prepare);
    row.run_us = row.run.reduce((sum, l) => sum + (l.us ?? 0), 0);
    for (const l of row.launches) l.share = known(l.us) && !l.kernel.prepare ? l.us / row.run_us : null;
    row.ratioDirect = known(row.median_us) ? timed("direct", row) / row.median_us : null;
    row.ratioOld = known(row.median_us) ? timed("old", row) / row.median_us : null;
    row.reasons = reasonsOf(row);
    row.twin = twinOf(row);
    row.bad = row.reasons.some((reason) => reason.bad);
    row.ran = known(row.median_us);
    const several = tiles.get(keyOf(row)).size > 1 && row.wino;
    row.label = several ? `${row.plan} F(${row.wino})` : row.plan;
    const places = /^x=(\w)\w*,g=(\w)\w*,m=(\w)\w*,o=(\w)\w*$/.exec(row.plan ?? "");
    row.short = places ? places.slice(1).join("") + (several ? ` ${row.wino}` : "") : row.label;
    row.words = [row.label, row.placement, row.problem, ...row.launches.map((l) => l.kernel.name),
      ...row.sites.map((s) => s.name ?? "")]
      .join(" ").toLowerCase();
  });
}
prepareRows();

// Plans that no other plan beats in both time and memory: of those that are right and kept their promise.
function paretoFront(list) {
  const fit = list.filter((r) => r.ran && !r.bad && known(r.workspace_bytes));
  fit.sort((a, b) => a.workspace_bytes - b.workspace_bytes || a.median_us - b.median_us);
  let best = Infinity;
  return fit.filter((r) => r.median_us < best && ((best = r.median_us), true));
}

// --- loops ------------------------------------------------------------------------------------

// "inner: loop c 16, ...; outer: grid t0 3, ... | second: ..." to nests, each with those computed inside it.
function parseLoops(text) {
  if (!text) return [];
  return text.split(" | ").map((root) => {
    const nests = root.split("; ").map((nest) => {
      const colon = nest.indexOf(": ");
      const axes = nest.slice(colon + 2).split(", ").filter(Boolean).map((axis) => {
        const found = /^(reduce )?(grid|group|warp|lane|loop|unroll|vector) (\S+) (\d+)$/.exec(axis);
        return found
          ? { reduce: found[1] !== undefined, kind: found[2], name: found[3], size: found[4], text: axis }
          : { kind: "other", text: axis };
      });
      return { stage: nest.slice(0, Math.max(colon, 0)), axes };
    });
    return { ...nests.pop(), inside: nests };
  });
}

// The name of a kernel, its extents in the colours of their axes where the two correspond.
function kernelName(kernel) {
  const parts = (kernel.name ?? "").split("_");
  const axes = parseLoops(kernel.loops).flatMap((nest) => nest.axes);
  const fits = parts.length - 1 === axes.length && axes.every((axis, i) => axis.size === parts[i + 1]);
  const node = el("span", { class: "kernel-name" });
  if (!fits) {
    node.append(kernel.name ?? "");
    return node;
  }
  node.append(parts[0]);
  axes.forEach((axis, i) => node.append("_", el("span", { class: `ink-${axis.kind}` }, parts[i + 1])));
  return node;
}
