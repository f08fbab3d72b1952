"""Bars of time relative to winnow, by layer, as SVG written by hand; .png goes through rsvg-convert.

In: rows of rows.py. Out: a file. A band for each problem; in it one bar for oneDNN's direct convolution in its best layout and
one for the fastest way of each other library with NCHW in and out and an error of at most 1e-5. The line at 1 is winnow's chosen
plan (the tuned one where there is one): a longer bar is a slower library. Bars that are longer than the axis end in an arrow.
"""
import html
import math
import os
import subprocess
import tempfile

import rows

COLOURS = {"oneDNN": "#4e79a7", "NNPACK": "#f28e2b", "ncnn": "#59a14f", "MNN": "#b07aa1", "OpenCV": "#9c755f",
           "ONNX Runtime": "#76b7b2", "OpenVINO": "#bab0ac"}
LEFT, RIGHT, TOP, BAR, GAP, WIDTH, LONGEST = 170, 70, 74, 11, 12, 900, 6


def bars_of(here):
    """(library, row) of the bars of one problem, in a fixed order."""
    comparison = rows.compare(here)[-1]  # tuned comes after auto
    found = {}
    for library in COLOURS:
        exact = [row for row in here if row["library"] == library and row["layout"] == "nchw"
                 and row["rel_l2_err"] is not None and row["rel_l2_err"] <= rows.MOST_ERROR]
        row = comparison.direct if library == "oneDNN" else rows.fastest(exact)
        if row:
            found[library] = row
    return comparison.own, found


def text(x, y, words, size=12, anchor="start", colour="#333", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" fill="{colour}" '
            f'font-weight="{weight}">{html.escape(words)}</text>')


def bar(y, library, ratio, row, scale, longest):
    shown = min(ratio, longest)
    end = LEFT + shown * scale
    tip = f"{library} {row['case']} ({row['layout']}): {row['min_us']:.1f} µs, error {rows.error_text(row['rel_l2_err'])}"
    shape = f'<rect x="{LEFT}" y="{y:.1f}" width="{end - LEFT:.1f}" height="{BAR}" fill="{COLOURS[library]}">' \
            f"<title>{html.escape(tip)}</title></rect>"
    if ratio > longest:
        shape += f'<path d="M{end:.1f} {y:.1f}l7 {BAR / 2}l-7 {BAR / 2}z" fill="{COLOURS[library]}"/>'
    colour = "#b00020" if ratio < 1 else "#333"
    past_line = max(end, LEFT + scale) if ratio < 1 else end
    return shape + text(past_line + 10, y + BAR - 2, f"{ratio:.2f}", 10, colour=colour, weight="bold" if ratio < 1 else "normal")


def legend(present):
    x, parts = LEFT, []
    for library in present:
        name = "oneDNN direct, best layout" if library == "oneDNN" else library
        parts.append(f'<rect x="{x}" y="42" width="11" height="11" fill="{COLOURS[library]}"/>' + text(x + 15, 52, name, 11))
        x += 30 + 6.4 * len(name)
    return parts


def line(x, bottom, colour):
    return f'<line x1="{x:.1f}" y1="{TOP - 6}" x2="{x:.1f}" y2="{bottom:.1f}" stroke="{colour}"/>'


def axis(bottom, scale, longest):
    parts = []
    for step in range(longest + 1):
        x = LEFT + step * scale
        parts.append(line(x, bottom, "#ddd"))
        parts.append(text(x, bottom + 15, "winnow" if step == 1 else f"{step}x", 11, "middle", weight="bold" if step == 1 else "normal"))
    return parts


def draw(seen):
    groups = {}
    for row in seen:
        groups.setdefault((row["threads"], row["name"]), []).append(row)
    bands = [(threads, name, *bars_of(here)) for (threads, name), here in groups.items()]
    several = len({band[0] for band in bands}) > 1
    ratios = [row["min_us"] / own["min_us"] for _, _, own, found in bands for row in found.values()]
    longest = min(LONGEST, max(2, math.ceil(max(ratios, default=2))))
    scale, y, body, present = (WIDTH - LEFT - RIGHT) / longest, TOP, [], {k for band in bands for k in band[3]}
    for threads, name, own, found in bands:
        middle = y + len(found) * BAR / 2
        body.append(text(LEFT - 10, middle, name + (f", {threads} thr" if several else ""), 12, "end", weight="bold"))
        body.append(text(LEFT - 10, middle + 14, f"{rows.number(own['min_us'])} µs, {rows.plan_text(own)}", 10, "end", "#666"))
        for library, row in found.items():
            body.append(bar(y, library, row["min_us"] / own["min_us"], row, scale, longest))
            y += BAR
        y += max(GAP, 28 - len(found) * BAR)
    own, bottom = bands[0][2], y
    threads = " and ".join(str(t) for t in sorted({band[0] for band in bands}))
    head = [text(LEFT, 22, "Time of a convolution relative to winnow; longer is slower", 16, weight="bold"),
            text(WIDTH - 10, bottom + 34, f"{own['device']}, {own['isa']}, threads: {threads}; minima of interleaved rounds; "
                 "fp32, NCHW in and out, constant weights, error at most 1e-5", 10, "end", "#666")]
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 44:.0f}" width="{WIDTH}" '
                      f'height="{bottom + 44:.0f}" font-family="Helvetica, Arial, DejaVu Sans, sans-serif">',
                      '<rect width="100%" height="100%" fill="white"/>', *head, *legend([k for k in COLOURS if k in present]),
                      *axis(bottom, scale, longest), *body, line(LEFT + scale, bottom, "#222"), "</svg>", ""])


def write(path, seen):
    drawing = draw(seen)
    if not path.endswith(".png"):
        with open(path, "w") as file:
            file.write(drawing)
        return
    with tempfile.NamedTemporaryFile("w", suffix=".svg") as file:
        file.write(drawing)
        file.flush()
        subprocess.run(["rsvg-convert", "--zoom", "2", file.name, "--output", os.path.abspath(path)], check=True)
