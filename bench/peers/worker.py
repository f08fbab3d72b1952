"""One library in a process of its own: worker.py NAME THREADS, started and asked by driver.py.

In: one request a line on standard input, JSON. Out: one answer a line on what was standard output; whatever the library itself
prints goes to standard error. Always holds: one answer to each request, {"error": ...} where something failed; nothing runs
between requests.

    {"do": "open", "problem": {...}, "x": FILE, "w": FILE}       -> {"cases": [{"name", "layout", "like"}, ...]}
    {"do": "result", "case": 0, "file": FILE}                    -> {}                    the output as .npy
    {"do": "time", "case": 0, "seconds": 0.1, "least": 3}        -> {"us": [...]}         µs a call, a number a sample
    {"do": "close"}                                              -> {}
"""
import json
import os
import sys
import time

import numpy as np

import libraries

SAMPLE_NS = 50_000  # least length of a sample
WARM_NS = 20_000_000
SLOW_NS = 10_000_000  # one warm call of this length is enough
PATIENCE_NS = 8_000_000_000  # after which a slow case has enough samples



def measure(run, seconds, least):
    """µs a call of samples of at least 50 µs each; warm calls beforehand are not counted."""
    clock = time.perf_counter_ns
    spent, warm, once = 0, 0, 0
    while (warm < 2 and once < SLOW_NS) or spent < min(WARM_NS, seconds * 2e8):
        start = clock()
        run(1)
        once = clock() - start
        spent, warm = spent + once, warm + 1
    calls, samples, spent = max(1, -(-SAMPLE_NS // max(1, once))), [], 0
    while spent < seconds * 1e9 or len(samples) < least:
        start = clock()
        run(calls)
        took = clock() - start
        samples.append(took / calls / 1e3)
        spent += took
        if took < SAMPLE_NS:
            calls += 1  # the call that set the number was a slow one
        if spent > PATIENCE_NS:
            break
    return samples


class Worker:
    def __init__(self, library):
        self.library, self.cases = library, []

    def open(self, problem, x, w):
        self.close()
        self.x, self.w = libraries.load(x), libraries.load(w)
        for case in self.library.cases(problem, self.x, self.w):
            self.cases.append(case)
            if case.run:
                case.run(1)
        return {"cases": [{"name": c.name, "layout": c.layout, "like": c.like} for c in self.cases]}

    def result(self, case, file):
        if self.cases[case].result is None:
            return {"none": True}
        self.cases[case].run(1)
        np.save(file, np.ascontiguousarray(self.cases[case].result(), np.float32))
        return {}

    def time(self, case, seconds, least):
        chosen = self.cases[case]
        return {"us": chosen.times(seconds) if chosen.times else measure(chosen.run, seconds, least)}

    def close(self):
        for case in self.cases:
            case.close()
        self.cases = []
        return {}


def main():
    name, threads = sys.argv[1], int(sys.argv[2])
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)

    def answer(value):
        answers.write(json.dumps(value) + "\n")

    def failure(error):
        return {"error": f"{type(error).__name__}: {error}".splitlines()[0][:200]}

    began = time.perf_counter()
    try:
        worker = Worker(libraries.LIBRARIES[name](threads))
    except ImportError as error:
        answer({"missing": str(error).splitlines()[0][:200]})
        return
    except Exception as error:  # a library may fail in any way that it likes
        answer(failure(error))
        return
    answer({"version": str(worker.library.version), "seconds": time.perf_counter() - began})
    for line in sys.stdin:
        request = json.loads(line)
        action = request.pop("do")
        try:
            answer(getattr(worker, action)(**request))
        except Exception as error:
            answer(failure(error))
    answers.flush()
    os._exit(0)  # several libraries crash while they are taken down


if __name__ == "__main__":
    main()
