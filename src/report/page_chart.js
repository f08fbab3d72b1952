// What the figures are drawn with: scales, ticks, axes, the tip, and points that answer to pointer and keys.

// From the values low to high to the pixels from to to, by logarithm.
function logScale(low, high, from, to) {
  const k = (to - from) / (Math.log(high) - Math.log(low));
  const scale = (v) => from + (Math.log(v) - Math.log(low)) * k;
  return Object.assign(scale, { low, high, from, to });
}

// A range around the values that is at least `least` wide, as a factor.
function spread(values, least, margin = 1.25) {
  let low = Math.min(...values) / margin, high = Math.max(...values) * margin;
  const grow = Math.sqrt(Math.max(1, least / (high / low)));
  return [low / grow, high * grow];
}

// 1, 2, 5, 10, ... or only powers of ten, as many as there is room for.
function decimalTicks(low, high, most) {
  const tries = [[1, [1, 2, 5]], [1, [1, 3]], [1, [1]], [2, [1]], [3, [1]], [6, [1]]];
  for (const [step, heads] of tries) {
    const ticks = [];
    for (let e = Math.floor(Math.log10(low) / step) * step; 10 ** e <= high; e += step)
      for (const head of heads) if (head * 10 ** e >= low && head * 10 ** e <= high) ticks.push(head * 10 ** e);
    if (ticks.length <= most) return ticks;
  }
  return [];
}

function binaryTicks(low, high, most) {
  for (let step = 1; step < 60; ++step) {
    const ticks = [];
    for (let e = Math.ceil(Math.log2(low) / step) * step; 2 ** e <= high; e += step) ticks.push(2 ** e);
    if (ticks.length <= most) return ticks;
  }
  return [];
}

const plain = (v) => (v >= 1e5 || (v > 0 && v < 1e-3) ? v.toExponential(0) : String(Number(v.toPrecision(3))));

// An empty figure of the place's width, with room for its axes.
function frame(place, name, height, margin) {
  const width = Math.max(280, Math.floor(place.clientWidth));
  const root = svg("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", tabindex: 0, "aria-label": name });
  place.replaceChildren(root);
  return {
    root, width, height,
    left: margin.left, right: width - margin.right, top: margin.top, bottom: height - margin.bottom,
  };
}

function axisBottom(f, scale, ticks, write, title) {
  for (const v of ticks)
    f.root.append(svg("line", { class: "grid", x1: scale(v), x2: scale(v), y1: f.top, y2: f.bottom }),
      svg("text", { class: "tick", x: scale(v), y: f.bottom + 16, "text-anchor": "middle" }, write(v)));
  f.root.append(svg("line", { class: "axis", x1: f.left, x2: f.right, y1: f.bottom, y2: f.bottom }),
    svg("text", { class: "title", x: f.right, y: f.bottom + 34, "text-anchor": "end" }, title));
}

function axisLeft(f, scale, ticks, write, title) {
  for (const v of ticks)
    f.root.append(svg("line", { class: "grid", x1: f.left, x2: f.right, y1: scale(v), y2: scale(v) }),
      svg("text", { class: "tick", x: f.left - 8, y: scale(v) + 4, "text-anchor": "end" }, write(v)));
  f.root.append(svg("line", { class: "axis", x1: f.left, x2: f.left, y1: f.top, y2: f.bottom }),
    svg("text", { class: "title", x: f.left - 44, y: f.top - 12 }, title));
}

// --- the tip ----------------------------------------------------------------------------------

// Title and pairs of a name and a text, beside a place of the window.
function showTip(x, y, title, pairs) {
  const tip = byId("tip");
  tip.replaceChildren(el("strong", {}, title), el("dl", {}, pairs.filter(([, text]) => text !== "" && text !== null)
    .map(([name, text]) => [el("dt", {}, name), el("dd", {}, text)])));
  tip.hidden = false;
  const box = tip.getBoundingClientRect();
  const left = x + 14 + box.width > innerWidth ? x - 14 - box.width : x + 14;
  const top = Math.min(y + 12, innerHeight - box.height - 4);
  tip.style.left = `${Math.max(4, left)}px`;
  tip.style.top = `${Math.max(4, top)}px`;
}

function hideTip() {
  byId("tip").hidden = true;
}

// Points {x, y, row, title, pairs}: the one nearest to the pointer shows its tip, a click selects its row; with
// the figure focused the arrow keys go from point to point.
function answer(f, points) {
  const order = [...points].sort((a, b) => a.x - b.x || a.y - b.y);
  const ring = svg("circle", { class: "ring", r: 8, visibility: "hidden" });
  let at = -1;
  f.root.append(ring);
  const point = (p, x, y) => {
    ring.setAttribute("cx", p.x);
    ring.setAttribute("cy", p.y);
    ring.setAttribute("visibility", "visible");
    showTip(x, y, p.title, p.pairs);
  };
  const leave = () => {
    ring.setAttribute("visibility", "hidden");
    hideTip();
  };
  const nearest = (event) => {
    const box = f.root.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let best = null, least = 26 ** 2;
    for (const p of points) {
      const d = (p.x - x) ** 2 + (p.y - y) ** 2;
      if (d < least) [best, least] = [p, d];
    }
    return best;
  };
  f.root.addEventListener("pointermove", (event) => {
    const p = nearest(event);
    if (p) point(p, event.clientX, event.clientY);
    else leave();
  });
  f.root.addEventListener("pointerleave", leave);
  f.root.addEventListener("blur", leave);
  f.root.addEventListener("click", (event) => select(nearest(event)?.row ?? null));
  f.root.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (step && order.length) {
      at = (at + step + order.length) % order.length;
      const box = f.root.getBoundingClientRect();
      point(order[at], box.left + order[at].x, box.top + order[at].y);
      event.preventDefault();
    } else if (event.key === "Enter" && at >= 0) {
      select(order[at].row);
    }
  });
}

// Where a label of the text's length fits beside a point without covering what is there: x, y and its anchor.
function placeLabel(taken, f, p, text) {
  const width = text.length * 6.3, height = 12;
  const tries = [[8, 4, "start"], [-8, 4, "end"], [0, -9, "middle"], [0, 18, "middle"], [8, -7, "start"], [8, 15, "start"], [-8, -7, "end"], [-8, 15, "end"]];
  for (const [dx, dy, anchor] of tries) {
    const left = p.x + dx - (anchor === "end" ? width : anchor === "middle" ? width / 2 : 0);
    const box = { left, right: left + width, top: p.y + dy - height + 2, bottom: p.y + dy + 2 };
    const inside = box.left > f.left && box.right < f.width && box.top > f.top - 8 && box.bottom < f.bottom;
    if (inside && taken.every((t) => t.right < box.left || t.left > box.right || t.bottom < box.top || t.top > box.bottom)) {
      taken.push(box);
      return { x: p.x + dx, y: p.y + dy, "text-anchor": anchor };
    }
  }
  return null;
}
