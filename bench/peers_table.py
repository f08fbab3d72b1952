#!/usr/bin/env python3
"""Measures winnow beside the other libraries on all lists of bench/shapes and writes the section of docs/performance.md.

    bench/peers_table.py                        measure what bench/peers.csv lacks, then print the tables
    bench/peers_table.py --minutes 9            the same, but stop after 9 minutes; call again to go on
    bench/peers_table.py --lists resnet,seed --threads 1 --again        anew, these only
    bench/peers_table.py --tune 20              run `winnow tune --seconds 20` on each problem before it is measured
    bench/peers_table.py --measure no --write   put what is in bench/peers.csv into docs/performance.md and docs/peers.svg

Each part is `winnow bench --peers --batch LIST --threads N --csv bench/peers.csv`; a problem's rows are added when it is done, so a
part that is stopped loses at most one problem. The list vgg16 is measured a second time with --math fp32-fast beside MNN. Needs
the libraries (tools/peers) and a Release build; nothing else should run on the machine."""
import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench", "peers"))
import figures
import plot
import rows

LISTS = ("seed", "resnet", "vgg16", "small", "batch")
# Set, threads and what has to be reached against direct and the best peer: bar, aim.
GOALS = {"resnet": ((2.1, 2.5), (1.10, 1.3)), "vgg16": ((2.5, 3.1), (1.15, 1.45)), "seed": ((1.5, 2.2), (1.3, 1.9)),
         "small": ((0.95, 1.2), (0.9, 1.0)), "batch": ((2.0, 2.5), (1.10, 1.3))}
EVERY_ROW = {"resnet": 0.97, "vgg16": 0.97, "small": 0.9}  # against the best peer
NAMES = {"vgg16": "vgg16 without conv1_1", "small": "small and conv1_1", "seed": "seed, the reference problem"}


def problems_of(name):
    with open(os.path.join(ROOT, "bench", "shapes", f"{name}.txt")) as file:
        return [line.strip() for line in file if line.strip() and line[0] not in "#-"]


def parts(args):
    """(problems, threads, maths mode) that are still to be measured."""
    there = set()
    if os.path.exists(args.csv) and os.path.getsize(args.csv) and not args.again:
        there = {(row["problem"], row["threads"], row["math"]) for row in rows.read(args.csv)}
    for threads in args.threads:
        for name in args.lists:
            for math in ("fp32", "fp32-fast") if name == "vgg16" else ("fp32",):
                missing = [p for p in problems_of(name) if (p, threads, math) not in there]
                if missing:
                    yield missing, threads, math


def wait(words, until):
    """Whether the command ended by itself; at the deadline it is asked to stop."""
    child = subprocess.Popen(words, cwd=ROOT)
    try:
        status = child.wait(None if until is None else max(1, until - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt) as why:
        child.send_signal(signal.SIGTERM)
        child.wait()
        if isinstance(why, KeyboardInterrupt):
            raise
        return False
    if status:
        sys.exit(f"peers_table.py: {' '.join(words)}: exit status {status}")
    return True


def measure(args):
    """Whether everything is measured now."""
    winnow = os.path.join(args.build, "winnow")
    until = time.monotonic() + 60 * args.minutes if args.minutes else None
    for problems, threads, math in parts(args):
        print(f"{len(problems)} problems, {threads} threads, {math}", file=sys.stderr)
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write("\n".join(problems) + "\n")
            file.flush()
            common = ["--batch", file.name, "--threads", str(threads), "--math", math]
            if args.tune and not wait([winnow, "tune", *common, "--seconds", str(args.tune)], until):
                return False
            libraries = "--peers" if math == "fp32" else "--peers=mnn"
            words = [winnow, "bench", *common, libraries, "--csv", os.path.abspath(args.csv), *args.more]
            if not wait(words, until):
                return False
    return True


# --- tables ---------------------------------------------------------------------------------------------------------------


def ratio(value, bound=1.0):
    """A loss stands out."""
    text = rows.times(value)
    return f"**{text}**" if value is not None and value < bound else text


def layers(found):
    """One line a layer: untuned, and what tuning made of it where it was tuned."""
    lines = []
    for run in dict.fromkeys(rows.run_of(c.own) for c in found):
        here = {c.own["case"]: c for c in found if rows.run_of(c.own) == run}
        auto, tuned = here.get("auto"), here.get("tuned")
        if not auto:
            continue
        either = lambda f: " / ".join(f(c) for c in (auto, tuned) if c)
        us = lambda row: rows.number(row["min_us"]) if row else "-"
        lines.append((
            run[0], either(lambda c: us(c.own)), either(lambda c: rows.plan_text(c.own)), either(lambda c: rows.error_text(c.own["rel_l2_err"])),
            us(auto.direct), either(lambda c: ratio(c.ratio("direct"))), f"{rows.library_text(auto.best)} {us(auto.best)}",
            either(lambda c: ratio(c.ratio("best"))), f"{rows.library_text(auto.any)} {us(auto.any)}", either(lambda c: ratio(c.ratio("any")))))
    titles = ("layer", "winnow µs", "plan", "error", "direct µs", "ratio", "best peer, NCHW, µs", "ratio", "best of any layout, µs", "ratio")
    return figures.markdown(titles, lines)


def goals(found):
    """Geometric means beside what was to be reached."""
    lines = []
    for name, (direct, best) in GOALS.items():
        for case in "auto", "tuned":
            for threads in sorted({c.own["threads"] for c in found}):
                here = [c for c in found if c.own["set"] == name and c.own["case"] == case and c.own["threads"] == threads]
                if not here:
                    continue
                mean = lambda other: rows.geometric_mean([c.ratio(other) for c in here])
                least = min((c.ratio("best") for c in here if c.best), default=None)
                lines.append((
                    f"{NAMES.get(name, name)} ({len(here)})", "untuned" if case == "auto" else case, str(threads),
                    ratio(mean("direct"), direct[0]), f"{direct[0]} / {direct[1]}", ratio(mean("best"), best[0]), f"{best[0]} / {best[1]}",
                    ratio(least, EVERY_ROW.get(name, 0)), str(EVERY_ROW.get(name, "-")), ratio(mean("any"))))
    titles = ("set", "", "threads", "against direct", "bar / aim", "against the best peer", "bar / aim", "its worst row", "bar", "any layout")
    return figures.markdown(titles, lines)


def fast(found):
    """--math fp32-fast beside MNN's default tiles, whatever error those have."""
    lines, means = [], []
    for threads in sorted({c.own["threads"] for c in found}):
        here = [c for c in found if c.own["threads"] == threads and c.own["case"] == "auto" and c.own["set"] == "vgg16" and c.mnn]
        for c in here:
            lines.append((c.own["name"], str(threads), rows.number(c.own["min_us"]), rows.plan_text(c.own), rows.error_text(c.own["rel_l2_err"]),
                          rows.number(c.mnn["min_us"]), rows.error_text(c.mnn["rel_l2_err"]), ratio(c.ratio("mnn"))))
        if here:
            mean = rows.geometric_mean([c.ratio("mnn") for c in here])
            means.append(f"{threads} thread{'s' * (threads > 1)} {rows.times(mean)}")
    titles = ("layer", "threads", "winnow µs", "plan", "error", "MNN µs", "error", "ratio")
    return figures.markdown(titles, lines) + f"\n\nGeometric mean: {', '.join(means)} (bar 1.0x, aim 1.25x)."


def section(seen):
    own = next(row for row in seen if row["library"] == "winnow")
    versions = dict.fromkeys(f"{row['library']} {row['version']}" for row in seen if row["library"] != "winnow")
    found = rows.compare([row for row in seen if row["math"] == "fp32"])
    text = f"{own['device']}, {own['isa']}; {', '.join(versions)}.\n\n{goals(found)}\n"
    for threads in sorted({row["threads"] for row in seen}):
        text += f"\n{threads} thread{'s' * (threads > 1)}, untuned / tuned:\n\n"
        text += layers([c for c in found if c.own["threads"] == threads]) + "\n"
    quick = rows.compare([row for row in seen if row["math"] == "fp32-fast"])
    return text + (f"\n`--math fp32-fast` beside MNN's default:\n\n{fast(quick)}\n" if quick else "")


def picture(seen):
    least = min(row["threads"] for row in seen)
    chosen = [row for row in seen if row["threads"] == least and row["math"] == "fp32" and row["set"] in ("resnet", "vgg16", "seed")]
    return chosen or seen


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder that winnow was built in")
    parser.add_argument("--csv", default=os.path.join(ROOT, "bench", "peers.csv"), help="where measurements are kept")
    parser.add_argument("--lists", default=",".join(LISTS), help="of bench/shapes, with commas between")
    parser.add_argument("--threads", default="1,2", help="thread counts, with commas between")
    parser.add_argument("--minutes", type=float, help="stop measuring after so long")
    parser.add_argument("--tune", type=int, metavar="SECONDS", help="tune each problem first, for so long")
    parser.add_argument("--again", action="store_true", help="measure what is there already, too")
    parser.add_argument("--measure", choices=("yes", "no"), default="yes")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md and docs/peers.svg")
    parser.add_argument("more", nargs="*", metavar="-- FLAG", help="for winnow bench, such as -- --secs 1 --peers-dir DIR")
    args = parser.parse_args()
    args.lists, args.threads = args.lists.split(","), [int(n) for n in args.threads.split(",")]
    for name in args.lists:
        if name not in LISTS:
            sys.exit(f"peers_table.py: there is no list {name}; known are {', '.join(LISTS)}")
    complete = measure(args) if args.measure == "yes" else not list(parts(args))
    if not os.path.exists(args.csv) or not os.path.getsize(args.csv):
        sys.exit(f"peers_table.py: nothing was measured into {args.csv}")
    seen = rows.read(args.csv)
    if args.write:
        figures.DOCUMENTS["peers"] = "docs/performance.md"
        figures.write("peers", section(seen).rstrip())
        plot.write(os.path.join(ROOT, "docs", "peers.svg"), picture(seen))
    else:
        print(section(seen))
    if not complete:
        sys.exit("peers_table.py: something is still to be measured; call again")


if __name__ == "__main__":
    main()
