#!/usr/bin/env python3
"""How much memory a convolution takes besides its input, weights and output, in winnow and in the other libraries.

    bench/memory.py                      64 -> 64 channels, 3x3, 224x224, one thread, as a table
    bench/memory.py --write              and into docs/performance.md
    bench/memory.py --plan fused --threads 2 --channels 64 --size 224 --peers-dir DIR --build DIR

Each way is a process of its own that loads its library, opens the layer, runs it, and reports its peak resident memory (VmHWM of
/proc/self/status); the same process with a layer of 8 channels at 8x8 instead is subtracted, and so are the three arrays, once
each. "peak" is that of the whole process, whose caller has an input and weights of his own, as in a network. "least" is the peak
after all was given back that only opening needed (VmHWM is reset through /proc/self/clear_refs), the caller's input included
where the library works on a copy, which the next run may then find overwritten: what a caller could reach with effort. Needs
the libraries' environment (tools/peers) and libwinnow.so of a Release build."""
import argparse
import ctypes
import gc
import json
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
sys.path[:0] = [os.path.join(ROOT, "bench", "peers"), os.path.join(ROOT, "bench")]
TINY = {"channels": 8, "size": 8}
RUNS, TRIES = 5, 3
# Library, case, and whether it goes on using the caller's arrays; the fastest exact way with NCHW in and out, and MNN's default.
WAYS = [("winnow", "", True), ("ncnn", "default", False), ("mnn", "default", False), ("mnn", "small tiles", False),
        ("nnpack", "wino-F63", True), ("nnpack", "fft16", True), ("opencv", "default", False), ("onnxruntime", "default", True),
        ("openvino", "default", True), ("onednn", "around", True)]


# --- the measured process -----------------------------------------------------------------------------------------------


class Winnow:
    """The public C API through ctypes: wn_compile with default options but for the plan."""

    title = "winnow"

    def __init__(self, library, plan):
        self.wn, self.plan = ctypes.CDLL(library), plan
        self.version = "here"
        for name in "wn_input", "wn_constant", "wn_conv":
            getattr(self.wn, name).restype = ctypes.c_void_p
        self.wn.wn_message.restype = ctypes.c_char_p

    def cases(self, problem, x, w):
        import libraries

        class Params(ctypes.Structure):
            _fields_ = [("size", ctypes.c_size_t)] + [(n, ctypes.c_int64 * 4) for n in ("stride", "dilation", "pad_lo", "pad_hi")] + [
                ("groups", ctypes.c_int64)]

        class Options(ctypes.Structure):  # the plan is the first member; zero is the default of all others
            _fields_ = [("size", ctypes.c_size_t), ("plan", ctypes.c_char_p), ("rest", ctypes.c_uint64 * 64)]

        shape = lambda array: (ctypes.c_int64 * 4)(*array.shape)
        context, program = ctypes.c_void_p(), ctypes.c_void_p()
        self.check(None, self.wn.wn_context_create(ctypes.byref(context)))
        f32 = 1  # WN_F32
        image = self.wn.wn_input(context, f32, 4, shape(x), libraries.address(x))
        weights = self.wn.wn_constant(context, f32, 4, shape(w), libraries.address(w))
        params = Params(size=ctypes.sizeof(Params), pad_lo=(1, 1), pad_hi=(1, 1))
        result = self.wn.wn_conv(ctypes.c_void_p(image), ctypes.c_void_p(weights), ctypes.byref(params))
        y = libraries.aligned(*libraries.output_shape(problem))
        options = Options(size=ctypes.sizeof(Options), plan=self.plan.encode())
        self.check(context, self.wn.wn_compile(context, ctypes.byref(ctypes.c_void_p(result)), ctypes.byref(libraries.address(y)), 1,
                                               ctypes.byref(options), ctypes.byref(program)))

        class Info(ctypes.Structure):  # wn_program_info, so far as it is looked at
            _fields_ = [("size", ctypes.c_size_t), ("plan", ctypes.c_char_p), ("schedule", ctypes.c_char_p), ("rest", ctypes.c_uint64 * 64)]

        info = Info(size=ctypes.sizeof(Info))
        self.check(context, self.wn.wn_program_get_info(program, ctypes.byref(info)))
        self.schedule = info.schedule.decode()

        def run(calls):
            for _ in range(calls):
                self.check(context, self.wn.wn_run(program))

        yield libraries.Case("", "nchw", run, lambda: y)

    def check(self, context, status):
        if status != 0:
            sys.exit(self.wn.wn_message(context).decode() if context else "no memory")


def resident(field):
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) * 1024 for line in file if line.startswith(field + ":"))


def check(case, channels, size):
    """The input is 0.5 and the weights 0.25 everywhere."""
    import numpy as np

    middle = float(np.ravel(case.result())[size * (size // 2) + size // 2])
    if abs(middle - channels * 9 * 0.125) > 1e-2 * channels:
        raise RuntimeError(f"a sum is {middle}")


def measured(request):
    """Peaks in bytes, of this process; prints one line of JSON."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    import libraries

    channels, size = request["channels"], request["size"]
    two = lambda n: [n, n]
    problem = {"axes": 2, "batch": 1, "groups": 1, "in_channels": channels, "out_channels": channels, "input": two(size),
               "output": two(size), "filter": two(3), "stride": two(1), "dilation": two(1), "pad_lo": two(1), "pad_hi": two(1)}
    x, w = libraries.aligned(1, channels, size, size), libraries.aligned(channels, channels, 3, 3)
    x[...], w[...] = 0.5, 0.25
    arrays = 2 * x.nbytes + w.nbytes
    if request["library"] == "winnow":
        library = Winnow(request["winnow"], request["plan"])
    else:
        library = libraries.LIBRARIES[request["library"]](request["threads"])
    ways = library.cases(problem, x, w)
    case = next(c for c in ways if c.name.startswith(request["case"]))
    case.run(2)
    peak = resident("VmHWM")
    ways.close()
    if not request["borrows"]:
        check(case, channels, size)
        case.result = None  # holds on to copies of its own
        del x
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    with open("/proc/self/clear_refs", "w") as file:
        file.write("5")
    case.run(RUNS)
    least = resident("VmHWM")
    if request["borrows"]:
        check(case, channels, size)  # it fills one more array
    print(json.dumps({"title": library.title, "schedule": getattr(library, "schedule", ""), "peak": peak - arrays,
                      "least": least - arrays}), file=answers)
    answers.flush()
    os._exit(0)


# --- the measuring one --------------------------------------------------------------------------------------------------


def ask(args, way, size, plan):
    library, case, borrows = way
    request = {"library": library, "case": case, "borrows": borrows, "threads": args.threads, "plan": plan,
               "winnow": os.path.join(args.build, "libwinnow.so"), **size}
    cpus = set(sorted(os.sched_getaffinity(0))[-args.threads :])
    environment = {**os.environ, "OMP_NUM_THREADS": str(args.threads), "WINNOW_THREADS": str(args.threads), "OPENBLAS_NUM_THREADS": "1",
                   "PYTHONPATH": os.path.join(ROOT, "bench", "peers")}
    done = subprocess.run([sys.executable, os.path.abspath(__file__), "--one", json.dumps(request)], capture_output=True, text=True,
                          env=environment, preexec_fn=lambda: os.sched_setaffinity(0, cpus))
    if done.returncode != 0:
        last = (done.stderr.strip().splitlines() or ["it died"])[-1]
        print(f"memory.py: {library} {case} is left out: {last[:200]}", file=sys.stderr)
        return None
    return json.loads(done.stdout)


def least_of(args, way, size, plan):
    """Of several processes: how much of a library's file is resident differs by chance."""
    answers = [answer for answer in (ask(args, way, size, plan) for _ in range(TRIES)) if answer]
    return {**answers[0], **{key: min(answer[key] for answer in answers) for key in ("peak", "least")}} if answers else None


def table(args):
    import figures

    found = []
    for way in WAYS:
        big = least_of(args, way, {"channels": args.channels, "size": args.size}, args.plan)
        tiny = big and least_of(args, way, TINY, big["schedule"])  # compiling takes memory too, more for some plans than for others
        if tiny:
            name = f"{big['title']} {way[1] or '`' + args.plan + '`'}"
            found.append((name, *((big[k] - tiny[k]) / 2**20 for k in ("peak", "least"))))
    if not found or not found[0][0].startswith("winnow"):
        sys.exit("memory.py: winnow could not be measured")
    share = lambda ours, theirs: f"{100 * ours / theirs:.0f}%" if theirs > 0 else "-"
    rows = [(name, f"{peak:.1f}", share(found[0][1], peak), f"{least:.1f}", share(found[0][2], least)) for name, peak, least in found]
    return figures.markdown(("", "peak, MiB", "winnow's is", "least, MiB", "winnow's is"), rows)


def with_numpy(folder):
    """Goes on under the libraries' own Python where this one has no numpy."""
    python = os.path.join(folder or os.environ.get("WINNOW_PEERS") or ".peers", "bin", "python")
    if not os.access(python, os.X_OK):
        sys.exit(f"memory.py: no {python}: tools/peers installs the libraries; --peers-dir or $WINNOW_PEERS names another folder")
    if os.path.abspath(python) != os.path.abspath(sys.executable):
        os.execv(python, [python, *sys.argv])


def main():
    if len(sys.argv) == 3 and sys.argv[1] == "--one":
        measured(json.loads(sys.argv[2]))
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plan", default="fused", help="of winnow")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--channels", type=int, default=64)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--build", default=os.path.join(ROOT, "build"), help="folder that winnow was built in")
    parser.add_argument("--peers-dir", help="where tools/peers installed; default $WINNOW_PEERS, else .peers")
    parser.add_argument("--write", action="store_true", help="into docs/performance.md")
    args = parser.parse_args()
    with_numpy(args.peers_dir)
    args.build = os.path.abspath(args.build)
    text = table(args)
    if args.write:
        import figures

        figures.DOCUMENTS["memory"] = "docs/performance.md"
        figures.write("memory", text)
    else:
        print(text)


if __name__ == "__main__":
    main()
