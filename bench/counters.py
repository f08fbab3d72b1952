#!/usr/bin/env python3
"""Hardware counters of the kernels of plans, on an NVIDIA GPU.

    bench/counters.py mb1ic16ih32oc16kh3ph1 old new one [--winnow build/winnow] [--variable]

Nsight Compute reads no counters of OpenCL kernels, so the very OpenCL C that `winnow explain` shows is compiled as CUDA
(the languages differ in the spelling of a few words), launched with its own grid and groups on zeros, and run under
ncu. Needs nvcc and ncu on PATH and the GPU's OpenCL; no clocks are changed."""
import argparse
import csv
import os
import re
import subprocess
import sys
import tempfile

METRICS = {  # column: metric
    "us": "gpu__time_duration.sum",
    "groups": "launch__grid_size",
    "regs": "launch__registers_per_thread",
    "warp instr": "smsp__inst_executed.sum",
    "issue %": "smsp__issue_active.avg.pct_of_peak_sustained_active",
    "warps %": "sm__warps_active.avg.pct_of_peak_sustained_active",
    "stall": "smsp__average_warps_issue_stalled_long_scoreboard_per_issue_active.ratio",
    "L1 hit %": "l1tex__t_sector_hit_rate.pct",
    "L2 bytes": "lts__t_bytes.sum",
    "lsu %": "l1tex__data_pipe_lsu_wavefronts.avg.pct_of_peak_sustained_elapsed",
}

PRELUDE = """#include <cstdio>
#define __kernel extern "C" __global__
#define __global
#define __local __shared__
#define restrict __restrict__
#define get_group_id(n) blockIdx.x
#define get_local_id(n) threadIdx.x
#define barrier(n) __syncthreads()
#define s0 x
#define s1 y
#define s2 z
#define s3 w
typedef unsigned int uint;
__device__ inline float4 splat4(float a) { return make_float4(a, a, a, a); }
__device__ inline float4 fma(float4 a, float4 b, float4 c) {
  return make_float4(fmaf(a.x, b.x, c.x), fmaf(a.y, b.y, c.y), fmaf(a.z, b.z, c.z), fmaf(a.w, b.w, c.w));
}
__device__ inline float4 vload4(int, const float *p) { return make_float4(p[0], p[1], p[2], p[3]); }
__device__ inline void vstore4(float4 v, int, float *p) { p[0] = v.x; p[1] = v.y; p[2] = v.z; p[3] = v.w; }
"""
BLOCK = 1 << 28  # bytes of each array


def explained(args, plan):
    command = [args.winnow, "explain", args.problem, "--plan", plan, "--backend", "opencl", "--no-run"]
    if args.variable:
        command += ["--weights-mode", "variable"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def as_cuda(text):
    """The kernels of a plan and a main() that launches each of them three times, the last of which counts."""
    grids = dict(re.findall(r"^kernel (\w+): grid (\d+)", text, re.M))
    source, launches = PRELUDE, ""
    for kernel in re.findall(r"^__kernel .*?^}\n", text, re.S | re.M):
        group = re.search(r"reqd_work_group_size\((\d+)", kernel).group(1)
        name, parameters = re.search(r"void (\w+)\((.*?)\) \{", kernel, re.S).groups()
        kernel = re.sub(r"__attribute__\(\(reqd_work_group_size[^)]*\)\)\)\s*void",
                        f"void __launch_bounds__({group})", kernel)
        kernel = re.sub(r"__attribute__\(\(aligned\((\d+)\)\)\)", r"__align__(\1)", kernel)
        kernel = re.sub(r"__local ((?:const )?\w+ \*)", r"\1", kernel)  # pointers have no space of their own
        source += kernel.replace("(float4)(", "splat4(")
        arrays = parameters.count("*")
        values = [f"array[{i}]" for i in range(arrays)] + ["0"] * (parameters.count(",") + 1 - arrays)
        launches += f"  for (int i = 0; i < 3; i++) {name}<<<{grids[name]}, {group}>>>({', '.join(values)});\n"
    return source + f"""int main() {{
  float *array[8];
  for (int i = 0; i < 8; i++) cudaMalloc(&array[i], {BLOCK}), cudaMemset(array[i], 0, {BLOCK});
{launches}  return cudaDeviceSynchronize() != cudaSuccess;
}}
"""


def counted(program):
    """Kernel name -> metric -> value, of the last launch of each."""
    ncu = ["ncu", "--clock-control", "none", "--metrics", ",".join(METRICS.values()), "--csv", program]
    out = subprocess.run(ncu, capture_output=True, text=True)
    rows = [line for line in out.stdout.splitlines() if line.startswith('"')]
    if not rows:
        sys.exit(f"counters.py: ncu said nothing: {(out.stdout + out.stderr).strip()[-300:]}")
    kernels = {}
    for row in csv.DictReader(rows):
        kernels.setdefault(row["Kernel Name"], {})[row["Metric Name"]] = row["Metric Value"].replace(",", "")
    return kernels


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("problem")
    parser.add_argument("plans", nargs="+")
    parser.add_argument("--winnow", default="build/winnow")
    parser.add_argument("--variable", action="store_true", help="weights are transformed in every run")
    args = parser.parse_args()
    print("| plan | kernel | " + " | ".join(METRICS) + " |")
    print("|---|---|" + "---|" * len(METRICS))
    for plan in args.plans:
        with tempfile.TemporaryDirectory() as folder:
            source, program = os.path.join(folder, "kernels.cu"), os.path.join(folder, "kernels")
            with open(source, "w", encoding="ascii") as file:
                file.write(as_cuda(explained(args, plan)))
            subprocess.run(["nvcc", "-arch=native", "-fmad=false", "-o", program, source], check=True)
            for name, metrics in counted(program).items():
                values = [float(metrics.get(metric, "nan")) for metric in METRICS.values()]
                values[0] /= 1e3
                print(f"| {plan} | {name} | " + " | ".join(f"{v:.4g}" if v < 1e5 else f"{v:.0f}" for v in values) + " |")


if __name__ == "__main__":
    main()
