"""`winnow bench MODEL... --peers`: whole networks, winnow beside other runtimes.

In: one JSON object on standard input, written by cli/peers.c: models and options. Out: a table (or CSV, or JSON lines) on standard
output, rows added to a CSV file; notes and progress on standard error. Always holds: each runtime and each plan of winnow is a
process of its own, pinned to the same CPUs; all have the same inputs; they take turns, one runs at a time; errors are relative L2
of the worst output against float64 (`winnow run --exact`); conversions are not part of any time.
"""
import json
import os
import shutil
import signal
import sys
import tempfile
import time

import numpy as np

import driver
import rows
import runtimes
import turns

ROUNDS, SECONDS = 5, 1.0
MOST_ERROR = 2e-5  # of a peer that is compared with
COLUMNS = ("network", "threads", "library", "version", "case", "math", "min_ms", "median_ms", "samples", "rel_l2_err", "load_s", "first_s",
           "convert_s", "resident_mb", "isa", "device")
HERE = os.path.dirname(os.path.abspath(__file__))


def distance(got, exact):
    """Relative L2 of the worst output; None where shapes are not those of the model."""
    worst = 0.0
    for y, want in zip(got, exact):
        if y.size != want.size:
            return None
        y, want = y.astype(np.float64).ravel(), want.astype(np.float64).ravel()
        size = np.linalg.norm(want)
        worst = max(worst, float(np.linalg.norm(y - want) / (size if size > 0 else 1)))
    return worst if len(got) == len(exact) and np.isfinite(worst) else None


def arrays(path):
    with np.load(path) as file:
        return [file[name] for name in file.files]


class Runner:
    """A process that has loaded the network, and is timed when it is asked to."""

    def __init__(self, library, case, words, cpus, threads):
        n = str(threads)
        self.library, self.case, self.samples, self.error, self.row = library, case, [], None, None
        self.errors = tempfile.TemporaryFile("w+", errors="replace")
        environment = {"OMP_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore", "PYTHONDONTWRITEBYTECODE": "1"}
        self.process = turns.Process(words, cpus, environment, self.errors)
        self.row = self.process.read()

    def complaint(self):
        """Why it did not load."""
        if self.row:
            return self.row.get("missing") or self.row.get("error")
        self.errors.seek(0)
        lines = [line for line in self.errors.read().splitlines() if line.strip()]
        return lines[-1][:200] if lines else "it died"

    def time(self, seconds):
        self.samples += self.process.ask(f"{seconds} 1") or []


def start_winnow(job, model, folder, cpus):
    """A runner for each plan; the first also writes what all the others get, and what float64 gives."""
    runners = []
    for number, plan in enumerate(job["plans"]):
        out = os.path.join(folder, f"winnow{number}.npz")
        words = [job["winnow"], "run", model, *job["model_flags"], "--plan", plan, "--math", job["math"], "--threads", str(job["threads"]),
                 "--seed", str(job["seed"]), "--output", out, "--json", "--on-request", *job["flags"]]
        if number == 0:
            words += ["--save-inputs", os.path.join(folder, "in.npz"), "--exact", os.path.join(folder, "exact.npz")]
        runner = Runner("winnow", plan, words, cpus, job["threads"])
        if not runner.row:
            turns.note(f"{model}, {plan}: {runner.complaint().removeprefix('winnow: ')}")
            runner.process.close()
            if number == 0:
                return []
            continue
        runner.out, row = out, runner.row
        ready = row["load_ms"] + row["schedule_ms"] + (0 if row["cached"] else row["compile_ms"])
        row.update(load_s=ready / 1e3, first_s=(ready + row["first_ms"]) / 1e3)
        runners.append(runner)
    return runners


def start_runtime(job, key, model, folder, cpus):
    title, own = runtimes.RUNTIMES[key].title, os.path.join(folder, key)
    os.mkdir(own)
    out = os.path.join(folder, f"{key}.npz")
    words = [sys.executable, os.path.join(HERE, "network_worker.py"), key, str(job["threads"]), model, os.path.join(folder, "in.npz"), out, own]
    runner = Runner(title, "", words, cpus, job["threads"])
    runner.out = out
    if runner.row and "version" in runner.row:
        return runner
    if runner.row and "missing" in runner.row:
        turns.note(f"{title} is not installed ({runner.row['missing']}): tools/peers {job['folder']} installs it")
    else:
        turns.note(f"{title} cannot run {os.path.basename(model)}: {runner.complaint()}")
    runner.process.close()
    return None


def make_row(job, name, runner):
    row = runner.row
    known = lambda key, digits: None if row.get(key) is None else round(row[key], digits)
    return {"network": name, "threads": job["threads"], "library": runner.library, "version": row["version"], "case": runner.case,
            "math": job["math"], "min_ms": round(min(runner.samples) / 1e3, 4), "median_ms": round(float(np.median(runner.samples)) / 1e3, 4),
            "samples": len(runner.samples), "rel_l2_err": None if runner.error is None else float(f"{runner.error:.3g}"),
            "load_s": known("load_s", 3), "first_s": known("first_s", 3), "convert_s": known("convert_s", 2),
            "resident_mb": known("resident_mb", 0), "isa": row.get("isa"), "device": row.get("device")}


def run_model(job, model, cpus, folder, progress):
    name = os.path.basename(model).removesuffix(".onnx")
    progress("winnow, and float64")
    runners = start_winnow(job, model, folder, cpus)
    if not runners:
        return []
    exact = arrays(os.path.join(folder, "exact.npz"))
    for key in job["libraries"]:
        progress(f"loading {runtimes.RUNTIMES[key].title}")
        runner = start_runtime(job, key, model, folder, cpus)
        if runner:
            runners.append(runner)
    for runner in runners:
        runner.error = distance(arrays(runner.out), exact)
    rounds = job["rounds"]
    for number in range(rounds):
        shift = number * len(runners) // rounds
        for i, runner in enumerate(runners[shift:] + runners[:shift]):
            progress(f"round {number + 1} of {rounds}, {i + 1} of {len(runners)}")
            runner.time(job["seconds"] / rounds)
            if job["threads"] > 1:
                time.sleep(0.02)  # pools of threads spin for a while after their work
    for runner in runners:
        runner.process.close()
        if not runner.samples:
            turns.note(f"{runner.library} {runner.case} died while it ran {name}".replace("  ", " "))
    return [make_row(job, name, runner) for runner in runners if runner.samples]


# --- texts ----------------------------------------------------------------------------------------------------------------


def is_exact(row):
    return row["rel_l2_err"] is not None and row["rel_l2_err"] <= MOST_ERROR


def milliseconds(row):
    if row is None:
        return "-"
    v = row["min_ms"]
    text = f"{v:.0f}" if v >= 100 else f"{v:.1f}" if v >= 10 else f"{v:.2f}"
    return text if is_exact(row) or row["library"] == "winnow" else f"({text})"


def table(seen, titles):
    """A line for each network and plan: minima in ms, and how many times as fast winnow is as the best of the others."""
    lines, ratios = [["network", "plan", "winnow", "error", *titles, "best", "ratio", "error"]], {}
    for own in [row for row in seen if row["library"] == "winnow"]:
        here = {row["library"]: row for row in seen if row["network"] == own["network"] and row["library"] != "winnow"}
        best = min((row for row in here.values() if is_exact(row)), key=lambda row: row["min_ms"], default=None)
        ratio = best["min_ms"] / own["min_ms"] if best else None
        ratios.setdefault(own["case"], []).append(ratio)
        lines.append([own["network"], own["case"], milliseconds(own), rows.error_text(own["rel_l2_err"]),
                      *[milliseconds(here.get(title)) for title in titles], best["library"] if best else "-", rows.times(ratio),
                      rows.error_text(best["rel_l2_err"]) if best else "-"])
    for case, all_of in ratios.items():
        if len([v for v in all_of if v]) > 1:
            mean = rows.times(rows.geometric_mean(all_of))
            lines.append([f"geometric mean ({len([v for v in all_of if v])})", case, *[""] * (len(titles) + 3), mean, ""])
    widths = [max(len(line[i]) for line in lines) for i in range(len(lines[0]))]
    left = {0, 1, len(titles) + 4}
    first = seen[0]
    text = (f"{first['device']}, {first['isa']}, {first['math']}, {first['threads']} thread{'s' * (first['threads'] > 1)}; minima in ms; a ratio "
            f"above 1: winnow is faster; (in brackets): an error over {MOST_ERROR:g}, which is not compared with\n")
    for line in lines:
        text += "  ".join(cell.ljust(w) if i in left else cell.rjust(w) for i, (cell, w) in enumerate(zip(line, widths))).rstrip() + "\n"
    return text


# --- all of it --------------------------------------------------------------------------------------------------------------


def prepare(job):
    job["rounds"] = job["rounds"] or ROUNDS
    job["seconds"] = job["seconds"] or SECONDS
    cpus = sorted(os.sched_getaffinity(0))
    job["threads"] = job["threads"] or len(cpus)
    plans = job["plans"] or "auto"
    job["plans"] = [plans] if "=" in plans else plans.split(",")
    names = job["libraries"] or "all"
    job["libraries"] = list(runtimes.RUNTIMES) if names == "all" else names.lower().split(",")
    for name in job["libraries"]:
        if name not in runtimes.RUNTIMES:
            driver.fail(f"--peers={names}: there is no '{name}' for networks; known are {', '.join(runtimes.RUNTIMES)}")
    turns.ANSWER_SECONDS = 900  # converting a large network takes its time
    return cpus[-job["threads"] :]


def main():
    job = json.loads(sys.stdin.buffer.read().decode("utf-8", "replace"))
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    cpus, seen, progress = prepare(job), [], driver.Progress(len(job["models"]))
    with tempfile.TemporaryDirectory() as folder:
        try:
            for number, model in enumerate(job["models"]):
                progress.next(os.path.basename(model))
                own = os.path.join(folder, str(number))
                os.mkdir(own)
                made = run_model(job, model, cpus, own, progress)
                progress.clear()
                shutil.rmtree(own, ignore_errors=True)
                if job["csv"]:
                    rows.append(job["csv"], made, COLUMNS)
                if job["print"] != "table":
                    rows.write(sys.stdout, made, job["print"], first=not seen, columns=COLUMNS)
                seen += made
        except KeyboardInterrupt:
            progress.clear()
            turns.note("interrupted: networks that were not finished are left out")
    if not seen:
        driver.fail("nothing was measured")
    if job["print"] == "table":
        print(table(seen, [runtimes.RUNTIMES[key].title for key in job["libraries"]]), end="")


if __name__ == "__main__":
    main()
