"""`winnow bench --peers`: driver.py is what the command becomes, under the Python of the libraries' environment.

In: one JSON object on standard input, written by cli/peers.c: the problems with every size, and the options. Out: a table (or
CSV, or JSON lines) on standard output, rows added to a CSV file, a plot; progress and notes on standard error. Always holds: a
row is written as soon as its problem is done, so an interrupted run keeps what it has. Exit status: 0, or 2 with one line.
"""
import json
import os
import shutil
import signal
import sys
import tempfile

try:
    import numpy  # noqa: F401: everything below needs it
except ImportError:
    sys.exit("winnow: the folder of --peers-dir has a Python without numpy: run tools/peers again")

import libraries
import plot
import rows
import turns

ROUNDS, SECONDS = 5, 0.5


def fail(line):
    print(f"winnow: {line}", file=sys.stderr)
    sys.exit(2)


def fill_in(job):
    job["rounds"] = job["rounds"] or ROUNDS
    job["seconds"] = job["seconds"] or SECONDS
    cpus = sorted(os.sched_getaffinity(0))
    job["threads"] = job["threads"] or len(cpus)
    if job["threads"] > len(cpus):
        turns.note(f"{job['threads']} threads on {len(cpus)} CPU{'s' * (len(cpus) > 1)} of this process: times say little")
    plans = job["plans"] or "auto"
    job["plans"] = [plans] if "=" in plans else plans.split(",")  # a spelled schedule has commas of its own
    names = job["libraries"] or "all"
    known = {key: library.title for key, library in libraries.LIBRARIES.items()}
    job["libraries"] = list(known) if names == "all" else names.lower().split(",")
    for name in job["libraries"]:
        if name not in known:
            fail(f"--peers={names}: there is no '{name}'; known are {', '.join(known)}")
    if (job["plot"] or "").endswith(".png") and not shutil.which("rsvg-convert"):
        fail(f"--plot {job['plot']}: .png needs rsvg-convert (Debian: librsvg2-bin); write a .svg")
    return cpus[-job["threads"] :]  # the last ones: the first do most of the system's work


def start(job, cpus):
    """The libraries that are there; a line for each that is not."""
    started = []
    for key in job["libraries"]:
        title = libraries.LIBRARIES[key].title
        library = turns.Library(key, title, job["threads"], cpus)
        if library.process:
            started.append(library)
        elif library.missing:
            turns.note(f"{title} is not installed ({library.missing}): tools/peers {job['folder']} installs it")
    return started


class Progress:
    """A line on a terminal that the next one replaces."""

    def __init__(self, count):
        self.on, self.count, self.number, self.name = sys.stderr.isatty(), count, 0, ""

    def next(self, name):
        self.number, self.name = self.number + 1, name

    def __call__(self, what):
        if self.on:
            print(f"\r\033[K[{self.number}/{self.count}] {self.name}: {what}", end="", file=sys.stderr, flush=True)

    def clear(self):
        if self.on:
            print("\r\033[K", end="", file=sys.stderr, flush=True)


def run(job):
    """Rows of every problem, in order; stops at an interrupt."""
    cpus = fill_in(job)
    started, seen, progress = start(job, cpus), [], Progress(len(job["problems"]))
    shared = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    with tempfile.TemporaryDirectory(dir=shared) as folder:
        try:
            for problem in job["problems"]:
                progress.next(problem["name"])
                entries = turns.run_problem(job, problem, started, cpus, folder, progress)
                made = [rows.make(job, problem, entry) for entry in entries]
                progress.clear()
                if job["csv"]:
                    rows.append(job["csv"], made)
                if job["print"] != "table":
                    rows.write(sys.stdout, made, job["print"], first=not seen)
                seen += made
        except (KeyboardInterrupt, SystemExit):
            progress.clear()
            turns.note("interrupted: problems that were not finished are left out")
        finally:
            for library in started:
                library.close()
    return seen


def main():
    job = json.loads(sys.stdin.buffer.read().decode("utf-8", "replace"))
    sys.stdout.reconfigure(encoding="utf-8", errors="replace")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    seen = run(job)
    if not seen:
        fail("nothing was measured")
    if job["print"] == "table":
        print(rows.table(seen), end="")
    if job["plot"]:
        plot.write(job["plot"], seen)


if __name__ == "__main__":
    main()
