#!/usr/bin/env python3
"""Measures the figures that the documents quote and prints them as markdown tables.

    bench/figures.py [--build build] [--cpu N] [--write] [SECTION...]

Sections: figures (docs/performance.md), table (README.md), plans and explosions (docs/winograd.md); all of them when none
is named. --write puts each into its document, between its two marks. Every measurement is one thread pinned to one CPU by
taskset; times are minima over rounds in which the plans take turns. Needs python3, taskset and a C compiler."""
import argparse
import json
import math
import os
import re
import subprocess
import sys
import tempfile

REFERENCE = "mb1ic16ih32oc16kh3ph1"
LAYER = "mb1ic64ih56oc64kh3ph1"
ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
DOCUMENTS = {
    "figures": "docs/performance.md",
    "table": "README.md",
    "plans": "docs/winograd.md",
    "explosions": "docs/winograd.md",
}


def command(args, words):
    return ["taskset", "-c", str(args.cpu), os.path.join(args.build, "winnow"), *words]


def output(args, *words):
    cold = {**os.environ, "WINNOW_CACHE": ""}  # compiled anew, picked untuned
    done = subprocess.run(command(args, words), capture_output=True, text=True, cwd=ROOT, env=cold)
    if done.returncode == 2:
        sys.exit(f"figures.py: winnow {' '.join(words)}: {done.stderr.strip()}")
    return done.stdout


def compare(args, problem, *words):
    """Rows of `compare --json` by plan; refused ones are left out."""
    text = output(args, "compare", problem, "--threads", "1", "--no-cache", "--json", *words)
    rows = [json.loads(line) for line in text.splitlines()]
    return {row["plan"]: row for row in rows if not row["refused"]}


def kept(rows):
    """Plans that ran compiled."""
    return {plan: row for plan, row in rows.items() if not row["fallback"]}


def number(value):
    if value is None or math.isnan(value):
        return "-"
    if value == 0:
        return "0"
    if abs(value) < 1e-2:
        return f"{value:.1e}".replace("e-0", "e-")
    return f"{value:.3g}" if abs(value) < 100 else f"{value:.0f}"


def markdown(titles, rows):
    lines = ["| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]
    lines += ["| " + " | ".join(row) + " |" for row in rows]
    return "\n".join(lines)


def device(row):
    return f"{row['device']}, {row['isa']}, one thread"


# --- figures ----------------------------------------------------------------------------------------------------------


def worst_of(rows, key):
    """The largest value of a key and the plan that has it."""
    plan = max(rows, key=lambda p: rows[p][key])
    return rows[plan][key], plan


def least_costs(args, rounds=5):
    """Least schedule and compile times of each plan over cold compiles."""
    best = {}
    for _ in range(rounds):
        for plan, row in kept(compare(args, REFERENCE, "--runs", "1")).items():
            for key in ("schedule_ms", "compile_ms"):
                cell = best.setdefault(plan, {})
                cell[key] = min(cell.get(key, math.inf), row[key])
    return best


def error_of_defaults(args):
    """Worst relative L2 error as a multiple of the promise, over bench/shapes/filters.txt."""
    worst = (0.0, "", 0.0)
    with open(os.path.join(ROOT, "bench/shapes/filters.txt")) as file:
        problems = [line.strip() for line in file if line.strip() and line[0] not in "#-"]
    for problem in problems:
        rows = compare(args, problem, "--runs", "1", "--plan", "direct", "--plan", "old", "--plan", "auto")
        bound = max(1.2e-6, 2 * rows["direct"]["rel_l2_err"])
        for plan in ("old", "auto"):
            if plan in rows and rows[plan]["rel_l2_err"] / bound > worst[0]:
                worst = (rows[plan]["rel_l2_err"] / bound, problem, rows[plan]["rel_l2_err"])
    return worst, len(problems)


def seven_loops(args):
    with tempfile.TemporaryDirectory() as folder:
        program = os.path.join(folder, "seven_loops")
        cc = os.environ.get("CC", "cc")
        build = [cc, "-std=gnu17", "-O3", "-march=native", "-Iinclude", "bench/seven_loops.c", f"-L{args.build}", "-lwinnow"]
        subprocess.run([*build, "-lm", "-o", program], check=True, cwd=ROOT)
        run = ["taskset", "-c", str(args.cpu), program, "64", "64", "56"]
        env = dict(os.environ, LD_LIBRARY_PATH=args.build)
        times = json.loads(subprocess.run(run, check=True, capture_output=True, text=True, env=env).stdout)
        version = subprocess.run([cc, "--version"], capture_output=True, text=True).stdout.splitlines()[0]
        return times, version


def lines_of_merged(rows):
    """Lines of the kernel with the merged reductions, and of the whole plan."""
    row = rows.get("inline-m")
    return (row["kernel"][-1]["source_lines"], row["source_lines"]) if row else (math.nan, math.nan)


def figures(args):
    constant = compare(args, REFERENCE)
    reference, every = kept(constant), compare(args, REFERENCE, "--weights-mode", "variable")
    variable, layer = kept(every), kept(compare(args, LAYER))
    costs = least_costs(args)
    tiled = {p: r for p, r in reference.items() if r["wino"] == "4x4"}
    error, error_plan = worst_of(tiled, "max_abs_err")
    (share, problem, relative), problems = error_of_defaults(args)
    schedule, schedule_plan = worst_of(costs, "schedule_ms")
    compiled, compiled_plan = worst_of(costs, "compile_ms")
    ratio = compiled / costs["direct"]["compile_ms"]
    lines, all_lines = lines_of_merged(constant)
    loops, compiler = seven_loops(args)
    winograd = {p: r for p, r in layer.items() if r["wino"]}
    fastest = min(winograd, key=lambda p: winograd[p]["min_us"])

    def against_old(plan):
        if plan not in variable:
            row = every.get(plan)
            return f"not compiled: {row['fallback']}" if row else "refused"
        times = variable["old"]["min_us"], variable[plan]["min_us"]
        quick = times[0] / times[1]
        word = f"{quick:.2f}x faster" if quick >= 1 else f"{1 / quick:.2f}x slower"
        return f"{word} ({number(times[1])} and {number(times[0])} µs)"

    best = layer["direct"]["min_us"] / winograd[fastest]["min_us"]
    rows = [
        ("max abs error of every F(4,3) plan, reference problem", "2e-4", "2e-5", f"{number(error)} (`{error_plan}`)", "1"),
        ("relative L2 error of every default choice", "max(1.2e-6, 2x direct)", "",
         f"{share:.2f} of it at most ({number(relative)}, `{problem}`; {problems} problems)", "2"),
        ("schedule time of every plan", "20 ms", "5 ms", f"{number(schedule)} ms (`{schedule_plan}`)", "3"),
        ("cold compile of every plan", "250 ms", "100 ms, 4x `direct`'s",
         f"{number(compiled)} ms, {ratio:.1f}x (`{compiled_plan}`)", "3"),
        ("`new` against `old`, weights variable", "1.57x slower", "faster", against_old("new"), "4"),
        ("`inline-m` against `old`, weights variable", "15x slower", "no slower", against_old("inline-m"), "4"),
        ("best Winograd plan against `direct`, 64 -> 64 at 56x56", "1.2x faster", "2x",
         f"{best:.2f}x (`{fastest}`, {number(winograd[fastest]['min_us'])} and {number(layer['direct']['min_us'])} µs)", "5"),
        ("source lines of `inline-m`, merged", "500", "300",
         f"{number(lines)} (the merged kernel; {number(all_lines)} with the transforms)", "1"),
        ("`direct` against seven plain loops, 64 -> 64 at 56x56", "4x faster", "10x",
         f"{loops['sum_us'] / loops['direct_us']:.0f}x ({number(loops['sum_us'] / 1e3)} and "
         f"{number(loops['direct_us'] / 1e3)} ms); {loops['rows_us'] / loops['direct_us']:.1f}x where the compiler "
         "vectorises them", "6"),
    ]
    head = f"{device(reference['old'])}; {compiler} for the seven loops.\n\n"
    return head + markdown(("what", "bar", "aim", "reached", "command"), rows)


# --- the table of the README --------------------------------------------------------------------------------------------


def table(args):
    text = output(args, "compare", REFERENCE, "--threads", "1")
    return "```\n" + text.rstrip() + "\n```"


# --- plans and explosions -----------------------------------------------------------------------------------------------


def flops_of(row):
    return sum(kernel["flops"] for kernel in row["kernel"])


def plans(args):
    rows = compare(args, REFERENCE, "--runs", "1", "--weights-mode", "variable", "--max-lines", "100000")
    direct, old = flops_of(rows["direct"]), flops_of(rows["old"])
    cells = [(f"`{plan}`", str(row["kernels"]), str(row["buffers"]), f"{row['workspace_bytes'] / 1024:.0f} KiB",
              f"{flops_of(row):,.0f}", f"{flops_of(row) / direct:.2f}", f"{flops_of(row) / old:.2f}")
             for plan, row in rows.items() if plan not in ("auto", "old-2k", "split")]
    return markdown(("plan", "kernels", "buffers", "workspace", "operations", "of `direct`'s", "of `old`'s"), cells) + (
        "\n\n" + recomputed(rows))


def kernel_of(row, stage_index):
    return row["kernel"][stage_index]["flops"]


def recomputed(rows):
    """How often the inlined transforms run: what their kernels do beyond the products, over a single transform."""
    g, x, products = (kernel_of(rows["old"], i) for i in range(3))
    times_x = (kernel_of(rows["x-only"], 1) - products) / x
    times_g = (kernel_of(rows["g-only"], 1) - products) / g
    return (f"`old` does {x:,.0f} operations for XHAT, {g:,.0f} for GHAT and {products:,.0f} for the products. Inlined, XHAT is "
            f"computed {times_x:.1f} times over (`x-only`), GHAT {times_g:.1f} times (`g-only`).")


def count_ops(args, plan, *words):
    """Loops, accumulators and loads in the last kernel of the linear IR."""
    text = output(args, "explain", REFERENCE, "--plan", plan, "--max-lines", "1", *words)
    last = re.split(r"--- linearise[^\n]*\n", text)[-1].split("\n\n")[0]
    return [len(re.findall(rf"= {op}\b", last)) for op in ("LOOP", "ACC", "LOAD")]


def explosions(args):
    cases = [("m inline, merged", "inline-m"), ("m inline, `--no-merge`", "inline-m", "--no-merge"),
             ("m global (`old`): its kernel of o", "old")]
    cells = []
    for name, plan, *words in cases:
        row = compare(args, REFERENCE, "--runs", "1", "--plan", plan, "--max-lines", "100000", *words)[plan]
        loops, accumulators, loads = count_ops(args, plan, *words)
        last = row["kernel"][-1]
        cells.append((name, str(loops), str(accumulators), str(loads), f"{last['source_lines']:,}", f"{last['flops']:,.0f}",
                      f"{row['compile_ms']:,.0f} ms"))
    return markdown(("", "loops", "accumulators", "loads", "lines", "operations", "compile"), cells)


def write(section, text):
    path = os.path.join(ROOT, DOCUMENTS[section])
    with open(path) as file:
        before = file.read()
    begin, end = f"<!-- {section}:begin -->", f"<!-- {section}:end -->"
    if begin not in before or end not in before:
        sys.exit(f"figures.py: {DOCUMENTS[section]} has no marks {begin} and {end}")
    head, rest = before.split(begin, 1)
    after = head + begin + "\n\n" + text + "\n\n" + end + rest.split(end, 1)[1]
    with open(path + ".new", "w") as file:
        file.write(after)
    os.replace(path + ".new", path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sections", nargs="*", metavar="SECTION", choices=[*DOCUMENTS, []])
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder that winnow was built in")
    parser.add_argument("--cpu", type=int, default=max(os.sched_getaffinity(0)), help="the CPU to pin to")
    parser.add_argument("--write", action="store_true", help="into the documents")
    args = parser.parse_args()
    args.build = os.path.abspath(args.build)
    for section in args.sections or DOCUMENTS:
        text = globals()[section](args)
        if args.write:
            write(section, text)
        else:
            print(f"{section}\n\n{text}\n")


if __name__ == "__main__":
    main()
