#!/usr/bin/env python3
"""How well the cost model ranks schedules, and how near `auto` comes to the best of them: the section of docs/performance.md.

    bench/ranking.py                         measure what bench/ranking/ lacks, then print the figures
    bench/ranking.py --write                 put the figures into docs/performance.md as well
    bench/ranking.py --measure no --data DIR print the figures of files that are there
    bench/ranking.py --worst 20              and the schedules whose rank is most wrong
    bench/ranking.py --predict               and predict anew, for who changes the model: measured times stay

Two files a problem. DIR/PROBLEM.json has all combinations of the four placements with each tile, a line each:

    winnow compare PROBLEM --all --wino all --threads 1 --json

DIR/PROBLEM.best.json has `auto` beside those that were fastest there and keep the promise on the error, timed in turns:

    winnow compare PROBLEM --plan auto --plan "x=...;wino=4" ... --untuned --threads 1 --json

Schedules that become the same program count once. What is refused has neither a prediction nor a time. Kernels over
--max-lines run in the interpreter: the model says which, and such programs count as the slowest, in no order among themselves.
Rank correlation is Spearman's, of predicted_us against the least time, over that of the schedule that ran in the same batch
where compare says it (reference_us); ties share their mean rank. Nothing else should run on the machine: noise is not
predicted."""
import argparse
import json
import math
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(ROOT, "bench"))
import figures

PROBLEMS = ("mb1ic16ih32oc16kh3ph1", "mb1ic64ih56oc64kh3ph1", "mb1ic128ih28oc128kh3ph1", "mb1ic256ih14oc256kh3ph1",
            "mb1ic512ih7oc512kh3ph1")
RANK_BAR, AUTO_BAR, RACE = 0.85, 1.05, 6


def compare(args, problem, words, path=None):
    """Rows of a compare; kept in a file once they are all there."""
    command = [args.winnow, "compare", problem, *words, "--threads", str(args.threads), "--json"]
    print(" ".join(command[:12]), "..." if len(command) > 12 else "", file=sys.stderr)
    text = subprocess.run(command, stdout=subprocess.PIPE, check=True, text=True).stdout
    if path:
        with open(path + ".part", "w") as file:
            file.write(text)
        os.replace(path + ".part", path)
    return [json.loads(line) for line in text.splitlines()]


def read(path):
    with open(path) as file:
        return [json.loads(line) for line in file]


def is_combination(row):
    return row["plan"].startswith("x=") and ";" not in row["plan"]


def program_of(row):
    """The same for rows of one program: its kernels' names, lines, operations and bytes, and the arrays between them."""
    kernels = tuple((k["name"], k["source_lines"], k["flops"], k["bytes"]) for k in row["kernel"])
    return (row["wino"], row["workspace_bytes"]) + kernels


def programs(rows):
    """A row of each program that ran, and how many combinations were refused."""
    found, refused = {}, 0
    for row in rows:
        if not is_combination(row):
            continue
        if row["refused"]:
            refused += 1
        elif row["min_us"] is not None:
            found.setdefault(program_of(row), row)
    return list(found.values()), refused


def ranks(values):
    """From 0; equal values share the mean of theirs."""
    order, rank, at = sorted(range(len(values)), key=lambda i: values[i]), [0.0] * len(values), 0
    while at < len(order):
        end = at
        while end + 1 < len(order) and values[order[end + 1]] == values[order[at]]:
            end += 1
        for i in order[at:end + 1]:
            rank[i] = (at + end) / 2
        at = end + 1
    return rank


def spearman(a, b):
    a, b = ranks(a), ranks(b)
    mean_a, mean_b = sum(a) / len(a), sum(b) / len(b)
    spread = math.sqrt(sum((x - mean_a) ** 2 for x in a) * sum((y - mean_b) ** 2 for y in b))
    return sum((x - mean_a) * (y - mean_b) for x, y in zip(a, b)) / spread if spread else 0.0


def geometric_mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def predictions(args, problem, rows):
    """predicted_us of the winnow of now: each program is compiled and run once. What was interpreted keeps what the file says."""
    again = [row for row in rows if not row["fallback"]]
    words = [word for row in again for word in ("--plan", f"{row['plan']};wino={row['wino']}")]
    for row, new in zip(again, compare(args, problem, words + ["--runs", "1"])):
        row["predicted_us"] = new["predicted_us"]


def time_of(row):
    """Of a slow moment all programs of a batch have a share: the one that is in every batch says how slow it was."""
    return row["min_us"] / (row.get("reference_us") or 1)


def measured(row):
    return math.inf if row["fallback"] else time_of(row)


def predicted(row):
    return math.inf if row.get("predicted_us") is None else row["predicted_us"]


class Ranking:
    def __init__(self, args, problem):
        self.problem, path = problem, os.path.join(args.data, problem)
        if not os.path.exists(path + ".json") and args.measure:
            compare(args, problem, ["--all", "--wino", "all"], path + ".json")
        self.rows, self.refused = programs(read(path + ".json"))
        if args.predict:
            predictions(args, problem, self.rows)
        self.rho = spearman([predicted(r) for r in self.rows], [measured(r) for r in self.rows])
        self.race(args, path + ".best.json")

    def race(self, args, path):
        """`auto` and the fastest programs that keep the promise, in turns."""
        fit = sorted((r for r in self.rows if not r["promise_missed"] and not r["fallback"]), key=time_of)[:RACE]
        words = ["--plan", "auto", "--untuned"]
        for row in fit:
            words += ["--plan", f"{row['plan']};wino={row['wino']}"]
        if os.path.exists(path):
            rows = read(path)
        elif args.measure:
            rows = compare(args, self.problem, words, path)
        else:
            rows = []
        self.auto = next((r for r in rows if r["plan"] == "auto"), None)
        self.best = min((r for r in rows if r["plan"] != "auto"), key=lambda r: r["min_us"], default=None)
        self.ratio = self.auto["min_us"] / self.best["min_us"] if self.auto and self.best else None

    def errors(self):
        """Predicted over measured, of what has both; sorted."""
        both = [r for r in self.rows if not r["fallback"] and r.get("predicted_us") is not None]
        return sorted(r["predicted_us"] / r["min_us"] for r in both)

    def missed(self):
        """Fallbacks that the model did not see, and programs that it took for one."""
        return sum(bool(r["fallback"]) != (r.get("predicted_us") is None) for r in self.rows)

    def worst(self, count):
        measured_rank = ranks([measured(r) for r in self.rows])
        predicted_rank = ranks([predicted(r) for r in self.rows])
        order = sorted(range(len(self.rows)), key=lambda i: -abs(measured_rank[i] - predicted_rank[i]))
        for i in order[:count]:
            row = self.rows[i]
            print(f"  {row['plan']};wino={row['wino']}: {row['min_us']:.1f} us, rank {measured_rank[i]:.0f}; predicted "
                  f"{predicted(row):.1f}, rank {predicted_rank[i]:.0f}{'; interpreted' if row['fallback'] else ''}")


def short(plan, wino):
    return f"`{plan.split(';wino')[0]}`, m={wino.split('x')[0] if len(set(wino.split('x'))) == 1 else wino}"


def table(rankings):
    lines = ["| problem | programs | of them interpreted | rank correlation | predicted / measured, median (10 % to 90 %) | "
             "best of all, µs | auto, µs | auto / best |", "|---|---:|---:|---:|---:|---|---|---:|"]
    for r in rankings:
        e = r.errors()
        tenth = len(e) // 10
        lines.append(f"| `{r.problem}` | {len(r.rows)} | {sum(bool(x['fallback']) for x in r.rows)} | {r.rho:.3f} | "
                     f"{e[len(e) // 2]:.2f} ({e[tenth]:.2f} to {e[-1 - tenth]:.2f}) | " + (
                         f"{r.best['min_us']:.0f}: {short(r.best['plan'], r.best['wino'])} | {r.auto['min_us']:.0f}: "
                         f"{short(r.auto['placement'], r.auto['wino'])} | {r.ratio:.2f} |" if r.ratio else "- | - | - |"))
    mean = sum(r.rho for r in rankings) / len(rankings)
    lines.append(f"\nMean rank correlation {mean:.3f} (bar: {RANK_BAR}; least {min(r.rho for r in rankings):.3f}).")
    ratios = [r.ratio for r in rankings if r.ratio]
    if ratios:
        lines.append(f"`auto` over the best of all combinations, geometric mean: {geometric_mean(ratios):.3f} (bar: {AUTO_BAR}).")
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("problems", nargs="*", default=PROBLEMS, metavar="PROBLEM")
    parser.add_argument("--winnow", default=os.path.join(ROOT, "build", "winnow"))
    parser.add_argument("--data", default=os.path.join(ROOT, "bench", "ranking"), help="folder of the files measured")
    parser.add_argument("--measure", choices=("yes", "no"), default="yes")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--worst", type=int, default=0)
    parser.add_argument("--predict", action="store_true")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    args.measure = args.measure == "yes"
    os.makedirs(args.data, exist_ok=True)
    rankings = []
    for problem in args.problems:
        if not args.measure and not os.path.exists(os.path.join(args.data, problem + ".json")):
            print(f"{problem}: not measured", file=sys.stderr)
            continue
        rankings.append(Ranking(args, problem))
        if args.worst:
            print(f"{problem}: {rankings[-1].rho:.3f}, {rankings[-1].missed()} wrong about the interpreter")
            rankings[-1].worst(args.worst)
    if not rankings:
        sys.exit("nothing was measured")
    text = table(rankings)
    print(text)
    if args.write:
        figures.DOCUMENTS["ranking"] = "docs/performance.md"
        figures.write("ranking", text)


if __name__ == "__main__":
    main()
