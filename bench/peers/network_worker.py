"""One runtime with one network, in a process of its own: network_worker.py NAME THREADS MODEL INPUTS OUTPUTS FOLDER.

In: the model, .npz of its inputs, a folder for conversions; then lines "SECONDS LEAST" on standard input. Out: the results as .npz
(out0, out1, ...), a line of JSON with what loading cost, and for each line of input µs a run, a number a sample. What the runtime
itself prints goes to standard error. Always holds: {"missing": ...} or {"error": ...} where it cannot run the network.
"""
import json
import os
import resource
import sys
import time

import numpy as np

import runtimes
import worker


def resident_mb():
    """The most so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def open_network(name, threads, path, inputs, outputs, folder):
    start = time.perf_counter()
    runtime = runtimes.RUNTIMES[name](threads)
    imported = time.perf_counter()
    with np.load(inputs) as file:
        arrays = {key: np.ascontiguousarray(file[key]) for key in file.files}
    before, begin = resident_mb(), time.perf_counter()
    path = runtime.convert(path, arrays, folder)
    converted = time.perf_counter()
    runtime.kept_inputs = arrays  # which it may read where they are
    runtime.load(path, arrays)
    loaded = time.perf_counter()
    runtime.run()
    first = time.perf_counter()
    np.savez(outputs, **{f"out{i}": np.asarray(y) for i, y in enumerate(runtime.outputs())})
    return runtime, {"version": runtime.version, "import_s": imported - start, "convert_s": converted - begin,
                     "load_s": loaded - converted, "first_s": first - converted, "resident_mb": resident_mb() - before}


def main():
    name, threads, path, inputs, outputs, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    try:
        runtime, row = open_network(name, int(threads), path, inputs, outputs, folder)
    except ModuleNotFoundError as error:
        answers.write(json.dumps({"missing": str(error)}) + "\n")
        return
    except Exception as error:  # whatever a runtime throws
        answers.write(json.dumps({"error": f"{type(error).__name__}: {str(error).strip().splitlines()[0][:200] if str(error) else ''}"}) + "\n")
        return
    answers.write(json.dumps(row) + "\n")

    def several(calls):
        for _ in range(calls):
            runtime.run()

    for line in sys.stdin:
        seconds, least = line.split()
        answers.write(json.dumps(worker.measure(several, float(seconds), int(least))) + "\n")
    answers.close()
    os._exit(0)  # without the destructors of several runtimes in one order or another


if __name__ == "__main__":
    main()
