#!/usr/bin/env python3
"""Tables of docs/placement-study.md from the rows of `winnow compare --all --wino all --json`.

    bench/placement_study.py measure DIR                         one JSON file a problem and weights mode, some 15 minutes
    bench/placement_study.py measure DIR --backend opencl        the same for another backend
    bench/placement_study.py cpu DIR/*.json [--write]            prints the tables, or writes them into the document
    bench/placement_study.py gpu DIR/*.json [--write]

`measure` goes on where it stopped: finished files are left alone, and an unfinished comparison is kept in winnow's cache. Files
may hold rows of any problems. Times are least times relative to those of `old` that took turns with the row; a program that is
shared by several rows counts once."""
import argparse
import json
import math
import os
import re
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENT = "docs/placement-study.md"
REFERENCE = "mb1ic16ih32oc16kh3ph1"
PROBLEMS = [REFERENCE, "mb1ic64ih56oc64kh3ph1", "mb1ic128ih28oc128kh3ph1", "mb1ic256ih14oc256kh3ph1", "mb1ic512ih7oc512kh3ph1"]
STAGES = ("x", "g", "m", "o")
PLACES = ("inline", "reg", "local", "global")
NAMED = {
    "old": "x=global,g=global,m=global,o=global",
    "new": "x=inline,g=inline,m=global,o=global",
    "x-only": "x=inline,g=global,m=global,o=global",
    "g-only": "x=global,g=inline,m=global,o=global",
    "inline-m": "x=global,g=global,m=inline,o=global",
    "one": "x=inline,g=inline,m=reg,o=global",
    "fused": "x=local,g=global,m=local,o=global",
}


# --- rows -----------------------------------------------------------------------------------------------------------------


class Study:
    """Rows of one problem in one weights mode."""

    def __init__(self, problem, weights, rows):
        self.problem, self.weights, self.rows = problem, weights, rows
        self.programs = [r for r in rows if not r["refused"] and not r["same_as"]]
        self.ran = [r for r in self.programs if r["min_us"] is not None and not r["fallback"]]
        self.usable = [r for r in self.ran if not r["promise_missed"]]
        old = self.named("old")
        self.old_time = time(old) if old and old["min_us"] is not None else 1.0
        self.combinations = [r for r in self.rows if usable(r) and places_of(r)]

    def title(self):
        m = re.fullmatch(r"mb(\d+)ic(\d+)ih(\d+)oc(\d+)(?:oh\d+)?kh3ph1(?:n.*)?", self.problem)
        return f"{m[2]} → {m[4]}, {m[3]}x{m[3]}" if m else f"`{self.problem}`"

    def against_old(self, row):
        """Times as fast as `old`: its row, else what took turns."""
        return number(self.old_time / time(row))

    def fastest(self, rows=None):
        rows = self.usable if rows is None else rows
        return min(rows, key=time, default=None)

    def named(self, name, tile=None):
        """The row of a named plan: as asked for by name, else the same combination with F(4), or the given tile."""
        for row in self.rows:
            if row["plan"] == name and (tile is None or row["wino"] == tile):
                return row
        want = NAMED.get(name)
        for row in self.rows:
            if want and row["plan"] == want and row["wino"].startswith(tile or "4"):
                return row
        return None


def usable(row):
    return not row["refused"] and row["min_us"] is not None and not row["fallback"] and not row["promise_missed"]


def time(row):
    """Relative to `old` where that took turns with the row."""
    return row["min_us"] / row["reference_us"] if row["reference_us"] else row["min_us"]


def memory(row):
    return row["workspace_bytes"] + (row["prepared_bytes"] or 0)


def cost(row):
    return row["schedule_ms"] + row["compile_ms"]


def total(row, key):
    return sum(k[key] or 0 for k in row["kernel"])


def places_of(row):
    found = dict(re.findall(r"\b([xgmo])=([a-z]+)", row["plan"])) if "=" in row["plan"] else {}
    return found if len(found) == len(STAGES) else None


def load(files):
    by = {}
    for name in files:
        with open(name) as file:
            for at, line in enumerate(file, 1):
                try:
                    row = json.loads(line)
                    by.setdefault((row["problem"], row["weights"]), []).append(row)
                except (ValueError, KeyError, TypeError):
                    sys.exit(f"placement_study.py: {name}:{at}: not a row of compare --json")
    order = {p: i for i, p in enumerate(PROBLEMS)}
    keys = sorted(by, key=lambda k: (k[1] != "constant", order.get(k[0], len(order)), k[0]))
    return [Study(p, w, by[p, w]) for p, w in keys]


# --- text -----------------------------------------------------------------------------------------------------------------


def number(value):
    if value is None or math.isnan(value):
        return "-"
    if value and abs(value) < 1e-2:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:,.0f}"


def size(value):
    for unit in ("B", "KiB", "MiB"):
        if value < 1024 or unit == "MiB":
            return f"{value:.0f} {unit}" if value >= 10 or value == 0 else f"{value:.1f} {unit}"
        value /= 1024


def share(row):
    """Of the roofline, in the least time."""
    value = row["roofline_share"]
    return "-" if value is None else f"{100 * value * row['median_us'] / row['min_us']:.0f}%"


def markdown(titles, rows):
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def tile(row):
    """m by axis: 4 for 4x4, 4x2 as it is."""
    parts = (row["wino"] or "").split("x")
    return "" if not parts[0] else parts[0] if len(set(parts)) == 1 else row["wino"]


def shared_by(study, row):
    """x=inline\\|reg,... for all combinations that are the row's program; names as they are."""
    alike = [r for r in study.rows if r is row or (r["same_as"] and r["kernel"] == row["kernel"] and r["wino"] == row["wino"]
                                                   and r["same_as"] in (row["plan"], row["placement"]))]
    places = [places_of(r) for r in alike if places_of(r)]
    if not places:
        return f"`{row['plan']}`"
    sets = {s: [p for p in PLACES if any(q[s] == p for q in places)] for s in STAGES}
    if math.prod(len(v) for v in sets.values()) != len(places):
        return f"`{row['plan']}`"
    text = " ".join(f"{s}={'/'.join(v)}" for s, v in sets.items())
    return f"`{row['plan']}`: {text}" if "=" not in row["plan"] else text


# --- tables -----------------------------------------------------------------------------------------------------------------


def spots(studies):
    cells = []
    for s in studies:
        best, auto, direct = s.fastest(s.combinations), s.named("auto"), s.named("direct")
        if not best:
            continue
        near = [r for r in s.combinations if time(r) <= 1.1 * time(best)]
        small = min(near, key=lambda r: (memory(r), cost(r)))
        cells.append((s.title(), s.weights, brief(best), number(best["min_us"]), s.against_old(best),
                      f"{number(time(direct) / time(best))}" if direct else "-",
                      f"{number(time(best) / time(auto))}" if auto and usable(auto) else "-",
                      f"{brief(small)}, {number(time(small) / time(best))} of the time", size(memory(best)), size(memory(small))))
    return markdown(("problem", "weights", "fastest combination", "µs", "x `old`", "x `direct`", "`auto` x it", "least memory within 10%",
                     "memory", "of that"), cells)


def brief(row):
    p = places_of(row)
    text = " ".join(f"{s}={p[s]}" for s in STAGES) if p else f"`{row['plan']}`"
    return f"{text}, F({tile(row)})" if tile(row) else text


def fronts(studies):
    parts = []
    for s in studies:
        rows = sorted((r for r in s.programs if r["pareto"]), key=time)
        cells = [(shared_by(s, r), tile(r), str(r["kernels"]), number(r["min_us"]), s.against_old(r), size(r["workspace_bytes"]),
                  size(r["prepared_bytes"] or 0), number(cost(r)), number(r["source_lines"])) for r in rows]
        parts.append(f"{s.title()}, weights {s.weights}:\n\n" + markdown(
            ("program", "F", "kernels", "µs", "x `old`", "workspace", "prepared", "schedule and compile ms", "lines"), cells))
    return "\n\n".join(parts)


def choices(studies):
    """The best that is left when one stage is placed so, against the best of all."""
    cells = []
    for stage in STAGES:
        for place in PLACES:
            row = []
            for s in studies:
                best = s.fastest(s.combinations)
                mine = s.fastest([r for r in s.combinations if places_of(r)[stage] == place])
                row.append(number(time(mine) / time(best)) if mine else "-")
            cells.append((f"{stage}={place}", *row))
    return markdown(("", *(f"{s.title()}, {s.weights}" for s in studies)), cells)


def tiles(studies):
    cells = []
    for s in studies:
        best = s.fastest([r for r in s.ran if places_of(r)])
        for m in ("2", "3", "4", "6"):
            mine = s.fastest([r for r in s.ran if tile(r) == m and places_of(r)])
            if mine:
                cells.append((s.title(), s.weights, m, number(mine["min_us"]), number(time(mine) / time(best)),
                              number(mine["rel_l2_err"]) + (", outside the promise" if mine["promise_missed"] else ""), brief(mine)))
    return markdown(("problem", "weights", "m", "µs", "of the best", "relative L2 error", "program"), cells)


def plan_cells(s, name, row):
    if row["refused"] or row["min_us"] is None:
        return (f"`{name}`", row["refused"] or "stopped", *[""] * 11)
    note = " (interpreter)" if row["fallback"] else ""
    return (f"`{name}`", number(row["min_us"]) + note, s.against_old(row), str(row["kernels"]), str(row["buffers"]),
            size(memory(row)), number(cost(row)), number(row["source_lines"]), "-" if row["registers"] is None else str(row["registers"]),
            "-" if row["spills"] is None else str(row["spills"]), number(total(row, "flops") / 1e6), number(total(row, "bytes") / 1e6),
            share(row))


def plans(studies):
    parts = []
    for s in studies:
        cells = [plan_cells(s, name, s.named(name)) for name in ("direct", "auto", *NAMED, "old-2k", "split") if s.named(name)]
        parts.append(f"{s.title()}, weights {s.weights}:\n\n" + markdown(
            ("plan", "µs", "x `old`", "kernels", "buffers", "memory", "compile ms", "lines", "registers", "spills", "Mflop", "MB",
             "of the roofline"), cells))
    return "\n\n".join(parts)


def kernels(studies):
    cells = []
    s = next((s for s in studies if s.problem == REFERENCE and s.weights == "variable"), studies[0])
    for name in ("direct", *NAMED):
        row = s.named(name)
        for k in row["kernel"] if row and not row["refused"] else []:
            us = k["median_us"]
            cells.append((f"`{name}`" if name else "", f"`{k['name']}`", number(us), number(k["flops"] / 1e6), number(k["bytes"] / 1e3),
                          number(k["flops"] / us / 1e3 if us else None), number(k["bytes"] / us / 1e3 if us else None),
                          number(k["source_lines"]), "-" if k["registers"] is None else str(k["registers"]), "-" if k["spills"] is None else str(k["spills"])))
            name = ""
    head = f"{s.title()}, weights {s.weights}:\n\n"
    return head + markdown(("plan", "kernel", "µs", "Mflop", "KB", "GFLOP/s", "GB/s", "lines", "registers", "spills"), cells)


def counts(studies):
    cells = []
    for s in studies:
        front = [r for r in s.programs if r["pareto"]]
        cells.append((s.title(), s.weights, str(len(s.rows)), str(sum(1 for r in s.rows if r["refused"])), str(len(s.programs)),
                      str(sum(1 for r in s.programs if r["fallback"])), str(sum(1 for r in s.ran if r["promise_missed"])), str(len(front)),
                      number(sum(r["schedule_ms"] or 0 for r in s.rows) / 1e3), number(sum(r["compile_ms"] or 0 for r in s.programs) / 1e3)))
    some = studies[0].ran[0] if studies[0].ran else studies[0].rows[0]
    threads = f"{some['threads']} thread{'' if some['threads'] == 1 else 's'}"
    head = f"{some['device']}, backend {some['backend']}{' ' + some['isa'] if some['isa'] else ''}, {threads}, winnow {some['version']}."
    return head + "\n\n" + markdown(("problem", "weights", "rows", "refused", "programs", "in the interpreter", "outside the promise",
                                     "in the front", "scheduling s", "compiling s"), cells)


TABLES = {"counts": counts, "spots": spots, "fronts": fronts, "choices": choices, "tiles": tiles, "plans": plans, "kernels": kernels}


# --- measuring and writing ----------------------------------------------------------------------------------------------------


def measure(args):
    folder = args.files[0]
    os.makedirs(folder, exist_ok=True)
    named = [word for plan in ("direct", "auto", *NAMED, "old-2k", "split") for word in ("--plan", plan)]
    for weights in ("constant", "variable"):
        for problem in args.problem or PROBLEMS:
            path = os.path.join(folder, f"{problem}-{weights}.json")
            if os.path.exists(path):
                continue
            words = [os.path.join(args.build, "winnow"), "compare", problem, "--all", "--wino", "all", *named, "--weights-mode", weights,
                     "--threads", "1", "--json"]
            if args.backend:
                words += ["--backend", args.backend]
            if args.cpu >= 0:
                words = ["taskset", "-c", str(args.cpu), *words]
            print(" ".join(words), file=sys.stderr)
            with open(path + ".new", "w") as file:
                status = subprocess.run(words, stdout=file).returncode
            if status not in (0, 1):
                sys.exit(status)
            os.replace(path + ".new", path)


def write(section, text):
    path = os.path.join(ROOT, DOCUMENT)
    with open(path) as file:
        before = file.read()
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    if begin not in before or end not in before:
        sys.exit(f"placement_study.py: {DOCUMENT} has no marks {begin} and {end}")
    head, rest = before.split(begin, 1)
    after = head + begin + "\n\n" + text + "\n\n" + end + rest.split(end, 1)[1]
    with open(path + ".new", "w") as file:
        file.write(after)
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("measure", "cpu", "gpu"))
    parser.add_argument("files", nargs="+", metavar="FILE", help="rows as JSON; of measure: the folder for them")
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder that winnow was built in")
    parser.add_argument("--backend", help="of measure")
    parser.add_argument("--problem", action="append", help="of measure; again for more; default: the five of the document")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the CPU to pin to; -1: none")
    parser.add_argument("--write", action="store_true", help="into the document")
    args = parser.parse_args()
    if args.what == "measure":
        measure(args)
        return
    studies = load(args.files)
    if not studies:
        sys.exit("placement_study.py: no rows")
    for name, table in TABLES.items():
        text = table(studies)
        if args.write:
            write(f"{args.what}-{name}", text)
        else:
            print(f"{args.what}-{name}\n\n{text}\n")


if __name__ == "__main__":
    main()
