#!/usr/bin/env python3
"""Two builds of winnow beside each other, layer by layer: has a change made anything slower?

    bench/against.py OLD/build/winnow build/winnow                  the lists of bench/shapes, one thread
    bench/against.py OLD NEW --cpu 1 --rounds 7 mb1ic64ih56oc64kh3ph1 ...       these problems

Each layer is a process of its own in turns, the order of the two changing from round to round; what is compared are least times.
A ratio above 1 says that NEW is slower; "plan" that the two chose differently. A row counts as slower when three runs of this
script agree."""
import argparse
import json
import math
import os
import subprocess
import sys

ROOT = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
LISTS = ["seed", "resnet", "vgg16", "small", "batch", "direct"]


def problems(lists):
    for name in lists:
        with open(os.path.join(ROOT, "bench", "shapes", name + ".txt")) as lines:
            for line in lines:
                problem = line.split("#")[0].strip()
                if problem:
                    yield problem


def measure(winnow, problem, cpu):
    """Least microseconds of a run, and the plan that auto took."""
    words = ["taskset", "-c", str(cpu), winnow, "conv", problem, "--threads", "1", "--untuned", "--no-cache", "--json"]
    done = subprocess.run(words, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{' '.join(words)}: {done.stderr.strip()}")
    row = json.loads(done.stdout.splitlines()[-1])
    return row["min_us"], (row["wino"], "direct" in row["placement"])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old")
    parser.add_argument("new")
    parser.add_argument("problem", nargs="*")
    parser.add_argument("--cpu", type=int, default=0)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_intermixed_args()
    ratios = []
    for problem in args.problem or problems(LISTS):
        least, plan = {args.old: math.inf, args.new: math.inf}, {}
        for turn in range(args.rounds):
            for winnow in (args.old, args.new) if turn % 2 else (args.new, args.old):
                us, plan[winnow] = measure(winnow, problem, args.cpu)
                least[winnow] = min(least[winnow], us)
        ratios.append(least[args.new] / least[args.old])
        differs = "" if plan[args.old] == plan[args.new] else "   plan"
        print(f"{problem:52} {least[args.old]:10.2f} {least[args.new]:10.2f} {ratios[-1]:6.3f}{differs}", flush=True)
    mean = math.exp(sum(map(math.log, ratios)) / len(ratios))
    print(f"geometric mean {mean:.3f}, least {min(ratios):.3f}, largest {max(ratios):.3f}")


if __name__ == "__main__":
    main()
