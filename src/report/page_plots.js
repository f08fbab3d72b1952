// The three figures: time against memory, the roofline, and the timeline of a run. Each is drawn anew from the
// rows that are shown, at the width that there is.

function planPairs(row) {
  return [
    ["problem", problems.length > 1 ? shortProblem(row.problem) : ""],
    ["median", duration(row.median_us)],
    ["× direct", figure(row.ratioDirect)],
    ["workspace", bytes(row.workspace_bytes)],
    ["prepared weights", bytes(row.prepared_bytes)],
    ["kernels, buffers", known(row.kernels) ? `${row.kernels}, ${row.buffers}` : ""],
    ["schedule, compile", known(row.schedule_ms) ? `${figure(row.schedule_ms)}, ${row.cached ? "cached" : figure(row.compile_ms)} ms` : ""],
    ["error, relative L2", power(row.rel_l2_err)],
    ["of the roofline", share(row.roofline_share)],
    ...row.reasons.map((reason) => ["", reason.text]),
  ];
}

const cross = (x, y, r) => `M${x - r},${y - r}L${x + r},${y + r}M${x - r},${y + r}L${x + r},${y - r}`;

// --- time against memory ------------------------------------------------------------------------

// Memory of 0 has no logarithm: it has a band of its own, left of a break in the axis.
function scatterScale(f, list) {
  const some = list.map((r) => r.workspace_bytes).filter((v) => v > 0);
  const none = some.length < list.length, band = none ? 44 : 0;
  const [low, high] = spread(some.length ? some : [1024], 4);
  const scale = logScale(low, high, f.left + band, f.right);
  const x = (v) => (v > 0 ? scale(v) : f.left + band / 2);
  if (none) {
    f.root.append(svg("text", { class: "tick", x: x(0), y: f.bottom + 16, "text-anchor": "middle" }, "0"),
      svg("line", { class: "break", x1: f.left + band, x2: f.left + band, y1: f.top, y2: f.bottom }));
  }
  axisBottom(f, scale, some.length ? binaryTicks(low, high, (f.right - f.left - band) / 66) : [], bytes, "workspace");
  return x;
}

function drawScatter(list) {
  const timed = distinct(list).filter((r) => r.ran && known(r.workspace_bytes));
  const one = new Set(timed.map((r) => r.problem)).size < 2;
  const place = byId("scatter"), note = byId("scatter-note");
  if (!timed.length) {
    place.replaceChildren(el("p", { class: "empty" }, "Nothing here was run."));
    note.textContent = "";
    return;
  }
  const f = frame(place, `Median time against workspace of ${timed.length} plans; arrow keys go from plan to plan`, 380,
    { left: 56, right: 18, top: 30, bottom: 42 });
  const y = logScale(...spread(timed.map((r) => r.median_us), 3), f.bottom, f.top);
  axisLeft(f, y, decimalTicks(y.low, y.high, 9), plain, "median µs");
  const x = scatterScale(f, timed);
  const front = one ? paretoFront(timed) : [];
  if (front.length) {
    let path = `M${x(front[0].workspace_bytes)},${f.top}`;
    for (const r of front) path += `V${y(r.median_us)}H${x((front[front.indexOf(r) + 1] ?? r).workspace_bytes)}`;
    f.root.append(svg("path", { class: "front", d: `${path}H${f.right}` }));
  }
  const points = timed.map((row) => ({ x: x(row.workspace_bytes), y: y(row.median_us), row, title: row.label, pairs: planPairs(row) }));
  for (const p of points) {
    const kind = p.row.bad ? "bad" : front.includes(p.row) ? "best" : "other";
    const mark = p.row.bad ? svg("path", { d: cross(p.x, p.y, 4) }) : svg("circle", { cx: p.x, cy: p.y, r: kind === "best" ? 5 : 4 });
    mark.setAttribute("class", `point ${kind}`);
    mark.dataset.row = p.row.index;
    f.root.append(mark);
  }
  labelPoints(f, points, front, one);
  answer(f, points);
  note.replaceChildren(one
    ? `The line is the Pareto front: no plan that is right and keeps its promise is faster with less memory (${front.length} of ${timed.length}${timed.length < list.length ? " programs" : ""}). `
    : "Several problems: choose one to see its Pareto front. ",
  one && timed.some((r) => r.short !== r.label) ? "Labels are the placements of x, g, m and o by their first letters: inline, reg, local, global. " : "",
  timed.some((r) => r.bad) ? "Crosses fell back to the interpreter, are wrong or miss their promise." : "");
}

// The selected plan and the front first; all of them where they are few.
function labelPoints(f, points, front, one) {
  const weight = (p) => (p.row === view.selected?.twin ? 0 : front.includes(p.row) ? 1 : 2);
  const many = points.length > 24;
  const taken = points.map((p) => ({ left: p.x - 4, right: p.x + 4, top: p.y - 4, bottom: p.y + 4 }));
  for (const p of [...points].sort((a, b) => weight(a) - weight(b))) {
    if (many && weight(p) > 1) break;
    const text = one ? p.row.short : shortProblem(p.row.problem);
    const at = placeLabel(taken, f, p, text);
    if (at) f.root.append(svg("text", { class: weight(p) ? "label" : "label chosen", ...at }, text));
  }
}

// --- the roofline -------------------------------------------------------------------------------

function drawCeilings(f, limits, x, y) {
  const peak = limits.flops * 1e-9;
  let ridge = Infinity;
  const taken = [];
  for (const level of limits.levels) {
    const rate = level.rate * 1e-9, from = Math.max(x.low, y.low / rate), to = Math.min(x.high, peak / rate);
    ridge = Math.min(ridge, peak / rate);
    if (from >= to) continue;
    f.root.append(svg("line", { class: "ceiling", x1: x(from), y1: y(from * rate), x2: x(to), y2: y(to * rate) }));
    const angle = (Math.atan2(y(to * rate) - y(from * rate), x(to) - x(from)) * 180) / Math.PI;
    const at = { x: x(from) + 10, y: y(from * rate) - 5 };
    at.y += Math.tan((angle * Math.PI) / 180) * 10;
    if (taken.some((t) => Math.hypot(t.x - at.x, t.y - at.y) < 13)) continue;
    taken.push(at);
    f.root.append(svg("text", { class: "ceiling-name", ...at, transform: `rotate(${angle} ${at.x} ${at.y})` }, `${level.name} ${figure(rate)} GB/s`));
  }
  const from = Math.max(x.low, ridge);
  f.root.append(svg("line", { class: "ceiling peak", x1: x(from), x2: f.right, y1: y(peak), y2: y(peak) }),
    svg("text", { class: "ceiling-name", x: f.right, y: y(peak) - 6, "text-anchor": "end" }, `peak ${figure(peak)} GFLOP/s`));
}

function kernelPairs(l) {
  const k = l.kernel;
  return [
    ["plan", l.row.label],
    ["problem", problems.length > 1 ? shortProblem(l.row.problem) : ""],
    ["computes", k.stage],
    ["time", known(l.us) ? `${duration(l.us)}, ${share(l.share)} of the run` : ""],
    ["executed", known(l.gflops) ? `${figure(l.gflops)} GFLOP/s` : ""],
    ["arrays", known(l.gbytes) ? `${figure(l.gbytes)} GB/s` : ""],
    ["intensity", known(l.intensity) ? `${figure(l.intensity)} FLOP/B` : ""],
    ["lines, registers, spills", [k.source_lines, k.registers, k.spills].map((v) => (known(v) ? v : "?")).join(", ")],
    ["interpreted", k.fallback],
  ];
}

function drawRoofline(list) {
  const launches = distinct(list).flatMap((r) => r.run).filter((l) => l.gflops > 0 && l.intensity > 0);
  const limits = data.limits[list.find((r) => r.limits !== null)?.limits] ?? null;
  const place = byId("roofline"), note = byId("roofline-note");
  note.textContent = limits
    ? "Ceilings are what winnow devices --measure found on this machine with all threads of the run. A kernel counts the arrays that it reads and writes, each once; area is its share of the run."
    : "The limits of this machine were not measured, so there are no ceilings: winnow devices --measure keeps them for the next report.";
  if (!launches.length) {
    place.replaceChildren(el("p", { class: "empty" }, "No kernel here was timed."));
    return;
  }
  const f = frame(place, `GFLOP/s against arithmetic intensity of ${launches.length} kernels; arrow keys go from kernel to kernel`, 380,
    { left: 56, right: 18, top: 30, bottom: 42 });
  const peak = limits ? [limits.flops * 1e-9] : [];
  const ridges = limits ? limits.levels.map((level) => limits.flops / level.rate) : [];
  const x = logScale(...spread([...launches.map((l) => l.intensity), ...ridges], 10, 1.5), f.left, f.right);
  const y = logScale(...spread([...launches.map((l) => l.gflops), ...peak], 10, 1.6), f.bottom, f.top);
  axisLeft(f, y, decimalTicks(y.low, y.high, 9), plain, "GFLOP/s");
  axisBottom(f, x, decimalTicks(x.low, x.high, (f.right - f.left) / 50), plain, "FLOP per byte");
  if (limits) drawCeilings(f, limits, x, y);
  const points = launches.map((l) => ({ x: x(l.intensity), y: y(l.gflops), row: l.row, title: l.kernel.name, pairs: kernelPairs(l), launch: l }));
  for (const p of points) {
    const of = stagesOf(p.launch.kernel.stage), radius = 2.5 + 4 * Math.sqrt(p.launch.share ?? 0);
    const mark = p.launch.kernel.fallback !== null ? svg("path", { class: "point bad", d: cross(p.x, p.y, 4) })
      : svg("circle", { class: `point stage-${of.includes("m") ? "m" : of.at(-1)}`, cx: p.x, cy: p.y, r: radius });
    mark.dataset.row = p.row.index;
    f.root.append(mark);
  }
  answer(f, points);
}

// --- the timeline -------------------------------------------------------------------------------

function drawLegend() {
  byId("stages").replaceChildren(...stages.map((s) => el("span", {}, el("i", { class: `swatch stage-${s.key}` }), s.name)),
    el("span", {}, "stripes: computed in one kernel"));
  const kinds = new Set(kernels.flatMap((k) => parseLoops(k.loops)).flatMap((nest) => [nest, ...nest.inside]).flatMap((nest) => nest.axes.map((a) => a.kind)));
  byId("kinds").replaceChildren("axes: ", ...["grid", "group", "warp", "lane", "loop", "unroll", "vector"].filter((kind) => kinds.has(kind))
    .map((kind) => el("span", { class: `axis-chip k-${kind}` }, kind)));
}

const LANE = 22;

function drawLane(root, row, top, x, limit, labelWidth, right) {
  const lane = svg("g", { class: "lane", "data-row": row.index });
  const name = problems.length > 1 ? `${shortProblem(row.problem)}  ${row.label}` : row.label;
  const room = Math.floor((labelWidth - 14) / 6.7);
  lane.append(svg("rect", { class: "lane-back", x: 0, y: top, width: "100%", height: LANE }),
    svg("text", { class: row.bad ? "lane-name bad" : "lane-name", x: 6, y: top + 15 },
      svg("title", {}, name), name.length > room ? `${name.slice(0, room - 1)}…` : name));
  let at = 0;
  for (const l of row.run) {
    if (!known(l.us)) continue;
    const from = x(Math.min(at, limit)), to = x(Math.min(at + l.us, limit)), of = stagesOf(l.kernel.stage);
    at += l.us;
    const bar = svg("g", { class: "launch" });
    const height = (LANE - 6) / of.length;
    of.forEach((key, i) => bar.append(svg("rect", {
      class: l.kernel.fallback !== null ? "stage-bad" : `stage-${key}`, x: from, y: top + 3 + i * height,
      width: Math.max(0.75, to - from - 1), height: height,
    })));
    bar.addEventListener("pointermove", (event) => showTip(event.clientX, event.clientY, l.kernel.name, kernelPairs(l)));
    bar.addEventListener("pointerleave", hideTip);
    lane.append(bar);
  }
  if (at > limit) lane.append(svg("path", { class: "torn", d: `M${x(limit) - 7},${top + 2}l4,6l-4,5l4,6` }));
  if (known(row.median_us) && row.median_us <= limit)
    lane.append(svg("line", { class: "whole", x1: x(row.median_us), x2: x(row.median_us), y1: top + 2, y2: top + LANE - 2 }));
  lane.append(svg("text", { class: "lane-time", x: right, y: top + 15, "text-anchor": "end" }, figure(row.median_us)));
  lane.addEventListener("click", () => select(row));
  root.append(lane);
}

// A plan a hundred times slower than the best would leave nothing to see of the others: it is cut.
function drawTimeline(list) {
  const programs = distinct(list);
  const timed = programs.filter((r) => r.ran && r.run_us > 0).sort((a, b) => a.median_us - b.median_us);
  const place = byId("lanes"), note = byId("timeline-note");
  if (!timed.length) {
    place.replaceChildren(el("p", { class: "empty" }, "No kernel here was timed."));
    note.textContent = "";
    return;
  }
  const ends = timed.map((r) => Math.max(r.run_us, r.median_us));
  const longest = Math.max(...ends), limit = Math.min(longest, 12 * Math.min(...ends));
  const width = Math.max(280, Math.floor(place.clientWidth) - 2);
  const names = timed.map((r) => r.label.length + (problems.length > 1 ? shortProblem(r.problem).length + 2 : 0));
  const labelWidth = Math.min(Math.max(...names) * 6.7 + 16, width * 0.34), right = width - 6;
  const x = (us) => labelWidth + (us / limit) * (right - 58 - labelWidth);
  const head = svg("svg", { class: "lane-axis", width, height: 24, viewBox: `0 0 ${width} 24`, "aria-hidden": "true" });
  const height = timed.length * LANE + 4;
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Kernels of a run of ${timed.length} plans, fastest first; the tables have the same figures` });
  const step = decimalTicks(limit / 12, limit, 40).find((s) => limit / s <= Math.max(3, (right - labelWidth) / 70)) ?? limit;
  for (let v = 0; v <= limit * 1.0001; v += step) {
    if (x(v) < right - 84) head.append(svg("text", { class: "tick", x: x(v), y: 15, "text-anchor": "middle" }, plain(v)));
    root.append(svg("line", { class: "grid", x1: x(v), x2: x(v), y1: 0, y2: timed.length * LANE }));
  }
  head.append(svg("text", { class: "title", x: 6, y: 15 }, "plan"), svg("text", { class: "title", x: right, y: 15, "text-anchor": "end" }, "median µs"));
  timed.forEach((row, i) => drawLane(root, row, i * LANE, x, limit, labelWidth, right));
  place.replaceChildren(head, root);
  note.textContent = `µs of each kernel, with a clock around it; the thin line is the median of whole runs.${
    longest > limit ? ` Runs longer than ${duration(limit)} are cut.` : ""}${
    programs.length < list.length ? " Plans that are the same program are one." : ""}${
    timed.length < programs.length ? ` ${programs.length - timed.length} without a run are not here.` : ""}`;
}
