"""Processes that take turns: winnow's plans and the other libraries, one measurement at a time.

In: a job (driver.py) and problems. Out: for each problem a list of Entry objects with samples and errors. Always holds: one
process runs at a time; each is pinned to the same CPUs; everybody gets the same data and the same time; a process that dies,
hangs or answers with an error is a note, not the end of the run.
"""
import dataclasses
import json
import os
import select
import subprocess
import sys
import tempfile
import time

import numpy as np

HERE = os.path.dirname(os.path.abspath(__file__))
ANSWER_SECONDS = 180  # a process that takes longer is taken for dead
SLOW = 1.5  # a case this many times slower than its library's fastest gets two rounds only
PLACES = 2048  # at which errors are measured


@dataclasses.dataclass
class Entry:
    library: str
    version: str
    name: str
    layout: str
    process: object
    case: int = 0
    like: str = ""
    error: float = None
    info: dict = dataclasses.field(default_factory=dict)  # winnow's own row
    samples: list = dataclasses.field(default_factory=list)

    @property
    def min_us(self):
        return min(self.samples)

    @property
    def median_us(self):
        return float(np.median(self.samples))


class Process:
    """A child with one line of answer for each line of request."""

    def __init__(self, words, cpus, environment, errors=None):
        self.child = subprocess.Popen(
            words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, env={**os.environ, **environment},
            start_new_session=True, preexec_fn=lambda: os.sched_setaffinity(0, cpus))

    def read(self):
        """An answer; None when there will be none."""
        ready = select.select([self.child.stdout], [], [], ANSWER_SECONDS)[0]
        line = self.child.stdout.readline() if ready else ""
        return json.loads(line) if line else None

    def ask(self, line):
        try:
            self.child.stdin.write(line + "\n")
            self.child.stdin.flush()
        except OSError:
            return None
        return self.read()

    def close(self):
        try:
            self.child.stdin.close()
        except OSError:
            pass
        try:
            self.child.wait(5)
        except subprocess.TimeoutExpired:
            self.child.kill()
            self.child.wait()


class Library:
    """A process of worker.py that stays for all problems, and is started again when it died."""

    def __init__(self, key, title, threads, cpus):
        self.key, self.title, self.threads, self.cpus = key, title, threads, cpus
        self.process, self.version, self.missing = None, "", ""
        self.start()

    def start(self):
        n = str(self.threads)
        environment = {"OMP_NUM_THREADS": n, "MKL_NUM_THREADS": n, "OPENBLAS_NUM_THREADS": "1", "PYTHONWARNINGS": "ignore"}
        words = [sys.executable, os.path.join(HERE, "worker.py"), self.key, n]
        self.chatter = tempfile.TemporaryFile("w+", errors="replace")  # what the library prints is of interest when it dies
        self.process = Process(words, self.cpus, environment, self.chatter)
        hello = self.process.read() or {"error": f"it dies while it starts{self.last_words()}"}
        self.missing = hello.get("missing", "")
        self.version = hello.get("version", "")
        if "version" not in hello:
            self.close()
            if not self.missing:
                note(f"{self.title} is left out: {hello['error']}")

    def last_words(self):
        self.chatter.seek(0)
        lines = self.chatter.read().split("\n")
        return "".join(f": {line[:200]}" for line in [line for line in lines if line.strip()][-1:])

    def ask(self, action, **request):
        answer = self.process.ask(json.dumps({"do": action, **request}))
        if answer is None:
            self.close()
            return {"error": f"it died or hung{self.last_words()}"}
        return answer

    def close(self):
        if self.process:
            self.process.close()
        self.process = None

    def open(self, problem, files):
        if not self.process and self.version:
            self.start()
        if not self.process:
            return []
        answer = self.ask("open", problem=problem, x=files["x"], w=files["w"])
        if "error" in answer:
            note(f"{self.title}, {problem['name']}: {answer['error']}")
        return [Entry(self.title, self.version, case["name"], case["layout"], self, i, case["like"])
                for i, case in enumerate(answer.get("cases", []))]

    def result(self, entry, file):
        answer = self.ask("result", case=entry.case, file=file)
        if "error" in answer:
            note(f"{self.title} {entry.name}: {answer['error']}")
        return answer == {}

    def time(self, entry, seconds, least):
        answer = self.ask("time", case=entry.case, seconds=seconds, least=least) if self.process else {}
        if "error" in answer:
            note(f"{self.title} {entry.name}: {answer['error']}")
        return answer.get("us", [])

    def finish(self):
        if self.process:
            self.ask("close")


class Plan:
    """One plan of winnow for one problem: `winnow conv --on-request` in a process of its own."""

    def __init__(self, job, plan, problem, files, cpus, store):
        self.file = files["y"]
        words = [job["winnow"], "conv", problem["text"], "--input", files["x"], "--weights", files["w"], "--output", self.file,
                 "--plan", plan, "--math", job["math"], "--threads", str(job["threads"]), "--runs", "1", "--json", "--on-request"]
        with tempfile.TemporaryFile("w+") as errors:
            self.process = Process(words + job["flags"] + ([] if store else ["--untuned"]), cpus, {}, errors)
            self.row = self.process.read()
            errors.seek(0)
            for line in errors.read().splitlines():
                note(f"{problem['name']}, {plan}: {line.removeprefix('winnow: ')}")

    def result(self, entry, file):
        os.replace(self.file, file)
        return True

    def time(self, entry, seconds, least):
        return self.process.ask(f"{seconds} {least}") or []

    def finish(self):
        self.process.close()


def note(line):
    print(f"winnow: {line}", file=sys.stderr, flush=True)


def make_data(problem, seed, files):
    """Uniform in [-1, 1); the same for everybody, and for the same problem and seed in every run."""
    random = np.random.default_rng([seed, *(problem["input"] + problem["filter"]), problem["in_channels"], problem["out_channels"]])
    image = (problem["batch"], problem["in_channels"], *problem["input"])
    weights = (problem["out_channels"], problem["in_channels"] // problem["groups"], *problem["filter"])
    x, w = (random.uniform(-1, 1, shape).astype(np.float32) for shape in (image, weights))
    np.save(files["x"], x)
    np.save(files["w"], w)
    return x, w, random


class Reference:
    """float64 sums over the definition, at up to PLACES positions of the result and every channel there."""

    def __init__(self, problem, x, w, random):
        axes, groups = problem["axes"], problem["groups"]
        extents = [problem["batch"], *problem["output"]]
        count = int(np.prod(extents))
        chosen = np.arange(count) if count <= PLACES else np.sort(random.choice(count, PLACES, replace=False))
        self.at = np.unravel_index(chosen, extents)
        padding = [(0, 0), (0, 0)] + [(lo, max(0, hi)) for lo, hi in zip(problem["pad_lo"], problem["pad_hi"])]
        padded = np.moveaxis(np.pad(x.astype(np.float64), padding), 1, -1)
        taps = np.indices(problem["filter"]).reshape(axes, -1)
        where = [self.at[1 + a][:, None] * problem["stride"][a] + taps[a] * problem["dilation"][a] for a in range(axes)]
        read = padded[(self.at[0][:, None], *where)]  # places, taps, channels
        read = read.reshape(*read.shape[:2], groups, -1).transpose(2, 0, 3, 1)  # groups, places, channels, taps
        filters = w.astype(np.float64).reshape(groups, problem["out_channels"] // groups, -1)
        sums = read.reshape(groups, len(chosen), -1) @ filters.transpose(0, 2, 1)
        self.value = np.concatenate(list(sums), axis=1)

    def error(self, y):
        """Relative L2 of a result as plain NCHW."""
        seen = np.moveaxis(y, 1, -1)[self.at].astype(np.float64)
        return float(np.linalg.norm(seen - self.value) / np.linalg.norm(self.value))


def measure_errors(entries, problem, reference, folder):
    shape = (problem["batch"], problem["out_channels"], *problem["output"])
    file = os.path.join(folder, "result.npy")
    for entry in entries:
        if not entry.like and entry.process.result(entry, file):
            entry.error = reference.error(np.load(file).reshape(shape))
    for entry in entries:
        if entry.like:
            entry.error = next((e.error for e in entries if e.library == entry.library and e.name == entry.like), None)


def is_hopeless(entry, entries):
    """Slower than another case of its library by so much that more rounds change nothing."""
    if entry.library == "winnow":
        return False
    others = [e.min_us for e in entries if e.library == entry.library and e.samples]
    return bool(entry.samples) and entry.min_us > SLOW * min(others)


def take_turns(entries, job, progress):
    """Rounds in which each entry is measured once; each round starts with another entry."""
    rounds = job["rounds"]
    for number in range(rounds):
        shift = number * len(entries) // rounds
        for i, entry in enumerate(entries[shift:] + entries[:shift]):
            if number >= 2 and is_hopeless(entry, entries):
                continue
            progress(f"round {number + 1} of {rounds}, {i + 1} of {len(entries)}")
            entry.samples += entry.process.time(entry, job["seconds"] / rounds, 1)
            if job["threads"] > 1:
                time.sleep(0.02)  # pools of threads spin for a while after their work


def winnow_entries(job, problem, files, cpus):
    """Each plan without what tuning has stored, and the chosen one again where the store knows a tuned winner."""
    entries = []
    for plan in job["plans"]:
        for store in (False, True) if plan == "auto" else (False,):
            own = {**files, "y": files["y"].replace(".npy", f"{len(entries)}.npy")}
            process = Plan(job, plan, problem, own, cpus, store)
            if process.row is None or (store and not process.row["tuned"]):
                process.finish()
                continue
            entries.append(Entry("winnow", job["version"], "tuned" if store else plan, "nchw", process, info=process.row))
    return entries


def run_problem(job, problem, libraries, cpus, folder, progress):
    """The entries that were measured; none if winnow has no plan for the problem."""
    files = {key: os.path.join(folder, f"{key}.npy") for key in "xwy"}
    progress("reference")
    reference = Reference(problem, *make_data(problem, job["seed"], files))
    progress("winnow")
    entries = winnow_entries(job, problem, files, cpus)
    if not entries:
        return []
    try:
        for library in libraries:
            progress(f"opening {library.title}")
            entries += library.open(problem, files)
        progress("errors")
        measure_errors(entries, problem, reference, folder)
        take_turns(entries, job, progress)
    finally:
        for process in dict.fromkeys([entry.process for entry in entries] + libraries):
            process.finish()
    return [entry for entry in entries if entry.samples]
