// Two panes for two kernels: what the kernel costs, its loops, what its instructions are, and its source.

const unpacked = new Map();

// The text of a source; rejects where the browser cannot unpack.
async function sourceText(number) {
  if (!unpacked.has(number)) {
    const packed = Uint8Array.from(atob(data.sources[number]), (c) => c.charCodeAt(0));
    const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
    unpacked.set(number, new Response(stream).text());
  }
  return unpacked.get(number);
}

// --- what stands above the source -----------------------------------------------------------------

function axisChip(axis) {
  if (axis.kind === "other") return el("span", { class: "axis-chip" }, axis.text);
  return el("span", { class: `axis-chip k-${axis.kind}`, title: axis.text },
    axis.reduce ? el("span", { "aria-label": "sums over" }, "Σ ") : null, `${axis.name} `, el("b", {}, axis.size));
}

function nestLine(nest, inside) {
  return el("li", { class: inside ? "inside" : null }, el("span", { class: "stage-name" }, nest.stage),
    nest.axes.map((axis, i) => [i ? " " : null, axisChip(axis)]));
}

function loopList(kernel) {
  const list = el("ul", { class: "nests", "aria-label": "Loops, outermost first" });
  for (const nest of parseLoops(kernel.loops)) list.append(nestLine(nest, false), ...nest.inside.map((child) => nestLine(child, true)));
  return list;
}

// Kinds of instructions, by what the renderers call them.
const kinds = [
  ["load", /\bv?load\w*\(|= a\d+_\w+\[/],
  ["store", /\bv?store\w*\(|^\s*a\d+_\w+\[/],
  ["fma", /\b(fma|mad|fmac)\w*\(/],
  ["shuffle", /shuffle/],
  ["loop", /^\s*for \(/],
];
const kindOf = (line) => kinds.find(([, pattern]) => pattern.test(line))?.[0] ?? null;

function instructionMix(lines) {
  const counts = new Map(kinds.map(([name]) => [name, 0]));
  let other = 0;
  for (const line of lines) {
    const kind = kindOf(line);
    if (kind) counts.set(kind, counts.get(kind) + 1);
    else if (/ = /.test(line)) ++other;
  }
  return [...counts, ["other", other]];
}

// --- the source -----------------------------------------------------------------------------------

const token = /(\/\*.*?\*\/|\/\/.*)|\b(for|if|else|while|return|break)\b|\b(void|const|restrict|float\d*|double|int\d*_t|int|_Bool|bool|[fiu]\d+x\d+|kernel|__kernel|__global|__local|__private|device|threadgroup|constant)\b|\b([a-z_]\w*)(?=\()/g;

function sourceLine(line, number) {
  const node = el("span", { class: `line${kindOf(line) ? ` l-${kindOf(line)}` : ""}`, "data-n": number });
  let from = 0;
  for (const found of line.matchAll(token)) {
    node.append(line.slice(from, found.index));
    const kind = found[1] ? "comment" : found[2] ? "word" : found[3] ? "type" : "call";
    node.append(el("span", { class: `t-${kind}` }, found[0]));
    from = found.index + found[0].length;
  }
  node.append(`${line.slice(from)}\n`);
  return node;
}

class Pane {
  constructor(place, name) {
    this.place = place;
    this.name = name;
    this.picker = el("select", { "aria-label": `Kernel of the ${name} pane`, onchange: () => this.show(this.choices[Number(this.picker.value)]) });
    this.head = el("div", { class: "pane-head" });
    this.code = el("pre", { class: "code", tabindex: 0, "aria-label": `Source, ${name}` });
    place.replaceChildren(this.picker, this.head, this.code);
    this.choices = [];
  }

  // Every kernel of the rows that are shown.
  offer(list) {
    const chosen = this.launch;
    this.choices = [];
    this.picker.replaceChildren(...list.filter((r) => r.launches.length).map((row) =>
      el("optgroup", { label: problems.length > 1 ? `${shortProblem(row.problem)} ${row.label}` : row.label }, row.launches.map((l) => {
        this.choices.push(l);
        const text = `${row.label}: ${l.kernel.name}  ${l.kernel.stage ?? ""}${l.kernel.prepare ? " (once)" : ""}`;
        return el("option", { value: this.choices.length - 1, selected: l === chosen }, text);
      }))));
    if (chosen && !this.choices.includes(chosen)) this.picker.selectedIndex = -1;
  }

  show(launch, scroll = false) {
    this.launch = launch;
    const at = this.choices.indexOf(launch);
    this.picker.value = at < 0 ? "" : String(at);
    const k = launch.kernel;
    const users = rows.filter((r) => r.launches.some((l) => l.number === launch.number));
    const fact = (name, text) => (text === "" ? null : el("div", {}, el("dt", {}, name), el("dd", {}, text)));
    this.mix = el("p", { class: "mix" });
    this.head.replaceChildren(
      el("h3", {}, kernelName(k), " ", el("small", {}, `${k.stage ?? ""}${k.prepare ? ", once" : ""}`)),
      k.fallback === null ? "" : el("p", { class: "bad" }, `Interpreted: ${k.fallback}`),
      el("dl", { class: "facts" }, fact("time", known(launch.us) && !k.prepare ? `${duration(launch.us)} (${share(launch.share)})` : ""),
        fact("executed", known(launch.gflops) ? `${figure(launch.gflops)} GFLOP/s` : ""), fact("arrays", known(launch.gbytes) ? `${figure(launch.gbytes)} GB/s` : ""),
        fact("FLOP/B", figure(launch.intensity)), fact("lines", count(k.source_lines)), fact("registers", count(k.registers)), fact("spills", count(k.spills))),
      el("p", { class: "users" }, users.length === 1 ? `Only in ${launch.row.label}.`
        : `In ${users.length} plans: ${users.slice(0, 8).map((r) => r.label).join(", ")}${users.length > 8 ? ", …" : ""}`),
      loopList(k), this.mix);
    this.write(launch);
    if (scroll) {
      byId("sources").scrollIntoView({ behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
      this.picker.focus({ preventScroll: true });
    }
    return true;
  }

  async write(launch) {
    const number = launch.kernel.source;
    if (number < 0) {
      this.code.replaceChildren("The source of this kernel was not kept.");
      return;
    }
    let text;
    try {
      text = await sourceText(number);
    } catch {
      this.code.replaceChildren("This browser cannot unpack sources (DecompressionStream): use one from 2023 or later.");
      return;
    }
    if (this.launch !== launch) return; // another one was chosen meanwhile
    const lines = text.replace(/\n$/, "").split("\n");
    this.code.replaceChildren(...lines.map((line, i) => sourceLine(line, i + 1)));
    this.code.scrollTop = this.code.scrollLeft = 0;
    this.mix.replaceChildren(...instructionMix(lines).filter(([, n]) => n)
      .map(([name, n]) => el("span", { class: `l-${name}` }, el("b", {}, n), ` ${name}${n === 1 ? "" : "s"}`)));
  }
}
