"""Rows of measurements: as CSV, and what they say about winnow beside the others.

In: entries of turns.py, or CSV files. Out: CSV, JSON lines, a table for a terminal, comparisons for bench/peers_table.py.
Always holds: a comparison is of minima of one run; the rows of a later run on the same problem, threads and maths mode (winnow's,
of which every row of the run says what it was) replace the earlier ones.

What is compared (docs/performance.md): "direct" is oneDNN's fastest way in any layout; "best peer" the fastest with NCHW in and
out and a relative L2 error of at most 1e-5; "any layout" the same with whatever layout the library likes best. oneDNN takes part
in the last two.
"""
import csv
import json
import math
import os
import re

COLUMNS = ("set", "name", "problem", "threads", "library", "version", "case", "layout", "math", "median_us", "min_us", "samples",
           "gflops_effective", "rel_l2_err", "placement", "wino", "isa", "device")
MOST_ERROR = 1e-5
NUMBERS = {"threads": int, "samples": int, "median_us": float, "min_us": float, "gflops_effective": float, "rel_l2_err": float}


def set_of(name):
    """"resnet" of "resnet:conv2". VGG's first layer has 3 channels, and its figures are those of the small ones."""
    if name == "vgg16:conv1_1":
        return "small"
    return name.split(":")[0] if ":" in name or name == "seed" else "others"


def make(job, problem, entry):
    return {
        "set": set_of(problem["name"]), "name": problem["name"], "problem": problem["text"], "threads": job["threads"],
        "library": entry.library, "version": entry.version, "case": entry.name, "layout": entry.layout,
        "math": job["math"], "median_us": round(entry.median_us, 3),
        "min_us": round(entry.min_us, 3), "samples": len(entry.samples),
        "gflops_effective": round(2e-3 * problem["macs"] / entry.median_us, 2),
        "rel_l2_err": None if entry.error is None else float(f"{entry.error:.3g}"),
        "placement": entry.info.get("placement", ""), "wino": entry.info.get("wino", ""), "isa": entry.info.get("isa", ""),
        "device": entry.info.get("device", "")}


def run_of(row):
    return row["name"], row["threads"], row["math"]


def write(file, made, form, first, columns=COLUMNS):
    if form == "json":
        for row in made:
            print(json.dumps(row), file=file)
    else:
        table = csv.DictWriter(file, columns)
        if first:
            table.writeheader()
        table.writerows(made)
    file.flush()


def append(path, made, columns=COLUMNS):
    first = not os.path.exists(path) or os.path.getsize(path) == 0
    with open(path, "a", newline="") as file:
        write(file, made, "csv", first, columns)


def read(path):
    """Every run, the last one of each; a run starts where winnow's rows follow a library's, or something else changes."""
    with open(path, newline="") as file:
        reader = csv.DictReader(file)
        if tuple(reader.fieldnames or ()) != COLUMNS:
            raise ValueError(f"{path} is not a table of bench --peers: its columns are others")
        runs, last = {}, None
        for row in reader:
            for name, kind in NUMBERS.items():
                row[name] = kind(row[name]) if row[name] else None
            same = last and run_of(last) == run_of(row) and (last["library"] == "winnow" or row["library"] != "winnow")
            if not same:
                runs[run_of(row)] = []
            runs[run_of(row)].append(row)
            last = row
    return [row for run in runs.values() for row in run]


# --- comparisons --------------------------------------------------------------------------------------------------------


def fastest(candidates):
    return min(candidates, key=lambda row: row["min_us"], default=None)


class Comparison:
    """One plan of winnow on one problem beside the others of the same run."""

    def __init__(self, own, here):
        others = [row for row in here if row["library"] != "winnow"]
        exact = [row for row in others if row["rel_l2_err"] is not None and row["rel_l2_err"] <= MOST_ERROR]
        self.own = own
        self.direct = fastest([row for row in others if row["library"] == "oneDNN"])
        self.best = fastest([row for row in exact if row["layout"] == "nchw"])
        self.any = fastest(exact)
        self.mnn = fastest([row for row in others if (row["library"], row["case"], row["layout"]) == ("MNN", "default", "nchw")])

    def ratio(self, other):
        """How many times as fast winnow is: above 1 is a win. other: "direct", "best", "any" or "mnn"."""
        row = getattr(self, other)
        return row["min_us"] / self.own["min_us"] if row else None


def compare(seen):
    """Comparisons in the order of the rows."""
    groups = {}
    for row in seen:
        groups.setdefault(run_of(row), []).append(row)
    return [Comparison(own, here) for here in groups.values() for own in here if own["library"] == "winnow"]


def geometric_mean(values):
    values = [v for v in values if v]
    return math.exp(sum(map(math.log, values)) / len(values)) if values else None


# --- texts ----------------------------------------------------------------------------------------------------------------

PLANS = {"x=global,g=global,m=global,o=global": "old", "x=local,g=global,m=local,o=global": "fused",
         "x=inline,g=inline,m=global,o=global": "new", "x=global,g=global,m=inline,o=global": "inline-m",
         "x=inline,g=inline,m=reg,o=global": "one", "x=inline,g=global,m=global,o=global": "x-only",
         "x=global,g=inline,m=global,o=global": "g-only", "x=local,g=local,m=local,o=global": "fused, g local"}


def plan_text(row):
    """A schedule as a few words: "fused F4", "direct"."""
    stages = re.sub(r"@\w+|\([^)]*\)", "", row["placement"].split(";")[0])
    name = "split" if "chunk=" in row["placement"] else PLANS.get(stages, stages)
    tiles = row["wino"].split("x") if row["wino"] else []
    return name + (f" F{tiles[0] if len(set(tiles)) == 1 else row['wino']}" if tiles else "")


def number(value):
    return "-" if value is None else f"{value:.0f}" if value >= 1000 else f"{value:.1f}" if value >= 100 else f"{value:.2f}"


def times(value):
    return "-" if value is None else f"{value:.2f}x"


def error_text(value):
    return "-" if value is None else f"{value:.1e}".replace("e-0", "e-")


def library_text(row):
    """Without the name of oneDNN's implementation."""
    if not row:
        return "-"
    return f"{row['library']} {row['case'].split(' ')[0] if row['library'] == 'oneDNN' else row['case']}"


def third(comparison):
    """What the last columns are about: MNN's default, whatever its error, where winnow too may be less exact."""
    return "mnn" if comparison.own["math"] == "fp32-fast" else "any"


def cells(comparison):
    own, last = comparison.own, third(comparison)
    direct, best, other = (getattr(comparison, k) for k in ("direct", "best", last))
    us = lambda row: number(row["min_us"]) if row else "-"
    name = library_text(other) + (f", error {error_text(other['rel_l2_err'])}" if other and last == "mnn" else "")
    return [own["name"], own["case"], us(own), error_text(own["rel_l2_err"]), plan_text(own), us(direct), times(comparison.ratio("direct")),
            library_text(best), us(best), times(comparison.ratio("best")), name, us(other), times(comparison.ratio(last))]


TITLES = ("problem", "plan", "µs", "error", "as", "direct µs", "ratio", "best peer, NCHW", "µs", "ratio", "any layout", "µs", "ratio")
LEFT = {0, 1, 4, 7, 10}  # columns of text


def means(comparisons):
    """Rows of geometric means by set and case, over the problems of each."""
    groups = {}
    for c in comparisons:
        groups.setdefault((c.own["set"], c.own["case"]), []).append(c)
    if len({group[0] for group in groups}) > 1:
        for c in comparisons:
            groups.setdefault(("all", c.own["case"]), []).append(c)
    for (name, case), members in groups.items():
        if len(members) < 2:
            continue
        ratio = lambda other: times(geometric_mean([c.ratio(other) for c in members]))
        last = ratio(third(members[0]))
        yield [f"mean of {name} ({len(members)})", case, "", "", "", "", ratio("direct"), "", "", ratio("best"), "", "", last]


def aligned(lines):
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    for line in lines:
        yield "  ".join(cell.ljust(w) if i in LEFT else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip()


def table(seen):
    """For a terminal: a line for each problem and plan, and the geometric means."""
    text = ""
    for threads, math_mode in sorted({(row["threads"], row["math"]) for row in seen}):
        found = compare([row for row in seen if (row["threads"], row["math"]) == (threads, math_mode)])
        own, titles = found[0].own, list(TITLES)
        titles[10] = "any layout" if third(found[0]) == "any" else "any error, NCHW"
        text += (f"{own['device']}, {own['isa']}, {math_mode}, {threads} thread{'s' * (threads > 1)}, minima; a ratio above 1: winnow is faster; "
                 f"peers with an error of at most {MOST_ERROR:g}\n")
        text += "\n".join(aligned([titles, *map(cells, found), *means(found)])) + "\n"
    return text
