"""The page of --html in a real browser: it opens without a word on the console and without asking for anything, sorts,
filters, selects, switches its colours and keeps them, shows markup as text, and holds 256 plans in 2 MB.

usage: test_report.py WINNOW HOSTILE_PAGE [SCREENSHOTS]: the program, the program that writes a page of hostile texts, and a
folder for pictures to look at. Cases in TAP; exit status 77 where there is no browser. Times are told, never asserted.
"""

import json
import os
import subprocess
import sys
import tempfile
import traceback

import devtools

REFERENCE = "mb1ic16ih32oc16kh3ph1"
MOST_BYTES = 2 * 1000 * 1000
THEME = "getComputedStyle(document.documentElement).colorScheme"
GROUND = "getComputedStyle(document.body).backgroundColor"


def column(key, table="#plan-table"):
    """The texts of one column of the rows that are visible, top to bottom."""
    return (f"[...document.querySelectorAll('{table} tbody:not([hidden])')]"
            f".map(b => b.rows[0].querySelector('[data-key={key}]').textContent)")


def heading(key, table="#plan-table"):
    return f"{table} th[data-key={key}] button"


class Report:
    """What the cases share: the browser's page and the files."""

    def __init__(self, page, winnow, hostile, folder, pictures):
        self.page, self.folder, self.pictures = page, folder, pictures
        environment = dict(os.environ, WINNOW_THREADS="1")
        for name in ("DEBUG", "WINO", "BEAM", "WINNOW_ISA", "WINNOW_DUMP", "WINNOW_TRACE"):
            environment.pop(name, None)

        def run(*words):
            subprocess.run([winnow, *words], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment)

        self.few, self.all, self.bench, self.none, self.hostile, self.network, self.sites = (
            os.path.join(folder, f"{name}.html") for name in ("few", "all", "bench", "none", "hostile", "network", "sites"))
        run("compare", REFERENCE, "--runs", "3", "--html", self.few)
        run("compare", REFERENCE, "--all", "--runs", "1", "--html", self.all)
        run("bench", 'mb1ic3ih9oc4kh3ph1n"one"', 'mb1ic4ih8oc4kh3ph1n"two"', "--runs", "2", "--html", self.bench)
        run("compare", "mb1ic4ih4oc4kh1", "--plan", "old", "--plan", "new", "--runs", "1", "--html", self.none)
        subprocess.run([hostile, self.hostile], check=True)
        subprocess.run([hostile, self.network, "200"], check=True)
        subprocess.run([hostile, self.sites, "40"], check=True)

    def open(self, path):
        self.page.open(path)
        self.quiet()

    def quiet(self):
        assert not self.page.console, f"the console says {self.page.console}"
        others = [u for u in self.page.requests if not u.startswith(("file://" + self.folder, "data:"))]
        assert not others, f"the page asked for {others}"

    def picture(self, name):
        if self.pictures:
            os.makedirs(self.pictures, exist_ok=True)
            self.page.screenshot(os.path.join(self.pictures, name + ".png"), whole=True)

    def source(self, pane):
        self.page.wait(f"document.querySelectorAll('#pane-{pane} .line').length > 0")
        return self.page.evaluate(f"document.querySelector('#pane-{pane} .code').textContent")


def opens(r):
    page = r.page
    page.prefer("light")
    r.open(r.few)
    names = page.evaluate(column("plan"))
    assert names == ["direct", "old", "old-2k", "new", "inline-m", "one", "x-only", "g-only", "fused", "split", "auto"], names
    line = page.evaluate("document.getElementById('line').textContent")
    assert line.startswith(f"WINNOW_THREADS=1 winnow compare {REFERENCE} --runs 3 --html "), line
    facts = page.evaluate("document.getElementById('facts').textContent")
    for word in ("Device", "Compiler", "winnow", "Date", "fp32: relative L2 error at most 1.2e-6"):
        assert word in facts, (word, facts)
    programs = page.evaluate("rows.filter(row => row.same_as === null).length")
    assert programs >= 10 and page.evaluate("document.querySelectorAll('#scatter circle.point').length") == programs
    assert page.evaluate("document.querySelectorAll('#scatter .front').length") == 1
    assert page.evaluate("document.querySelectorAll('#roofline .point').length") >= 15
    assert page.evaluate("document.querySelectorAll('#lanes .lane').length") == programs
    assert "void r_" in r.source("a") and "void " in r.source("b")
    assert page.evaluate("document.querySelectorAll('#pane-a .axis-chip').length") > 2
    r.quiet()
    r.picture("light")


def sorts_by_clicking(r):
    page = r.page
    r.open(r.few)
    page.click(heading("median_us"))
    times = [float(t) for t in page.evaluate(column("median_us"))]
    assert times == sorted(times), times
    page.click(heading("median_us"))
    assert [float(t) for t in page.evaluate(column("median_us"))] == sorted(times, reverse=True)
    state = page.evaluate("[...document.querySelectorAll('#plan-table thead th')].map(t => t.ariaSort).filter(s => s !== 'none')")
    assert state == ["descending"], state
    page.click(heading("plan"))
    names = page.evaluate(column("plan"))
    assert names == sorted(names), names


def sorts_by_every_column(r):
    page = r.page
    r.open(r.few)
    for table in ("#plan-table", "#kernel-table", "#site-table"):
        if table == "#site-table":
            r.open(r.sites)
        for key in page.evaluate(f"[...document.querySelectorAll('{table} thead th')].map(t => t.dataset.key)"):
            page.click(heading(key, table))
            state = page.evaluate(f"document.querySelector('{table} th[data-key={key}]').ariaSort")
            assert state in ("ascending", "descending"), (table, key, state)
            values = page.evaluate(f"(() => {{ const t = {table[1:-6]}Table;"
                                   f"const c = t.columns.find(c => c.key === {json.dumps(key)});"
                                   "return [...t.table.tBodies].map(b => c.value(t.items[Number(b.dataset.item)])) })()")
            have = [v for v in values if v is not None]
            assert values[:len(have)] == have, (key, "what is not known is not last")
            if all(isinstance(v, (int, float)) for v in have):
                assert have == sorted(have, reverse=state == "descending"), (key, have)


def sorts_by_keyboard(r):
    page = r.page
    r.open(r.few)
    page.evaluate(f"document.querySelector('{heading('workspace_bytes')}').focus()")
    for name, text in (("Enter", "\r"), (" ", " ")):
        page.key(name, text)
        values = page.evaluate("[...planTable.table.tBodies].map(b => rows[b.dataset.row].workspace_bytes)")
        assert values == sorted(values, reverse=name == " "), (name, values)


def switches_theme(r):
    page = r.page
    page.prefer("dark")
    r.open(r.few)
    dark = page.evaluate(GROUND)
    r.picture("dark")
    page.prefer("light")
    light = page.evaluate(GROUND)
    assert dark != light, dark
    page.click(".theme input[value=dark]")
    assert page.evaluate(GROUND) == dark
    r.open(r.few)  # kept
    assert page.evaluate(GROUND) == dark and page.evaluate(THEME) == "dark"
    page.prefer("dark")
    page.click(".theme input[value=light]")
    assert page.evaluate(GROUND) == light
    page.click(".theme input[value=system]")
    assert page.evaluate(GROUND) == dark
    r.open(r.few)
    assert page.evaluate("document.querySelector('.theme input[value=system]').checked")
    page.prefer("light")
    assert page.evaluate(GROUND) == light
    r.quiet()


def contrast_is_enough(r):
    """4.5 to 1 for every colour of text on the grounds that it stands on, in both themes (WCAG 2.2, 1.4.3)."""
    page = r.page
    r.open(r.few)
    script = """(() => {
      const probe = document.body.appendChild(document.createElement("i"));
      const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
      const light = (name) => {
        probe.style.color = `var(--${name})`;
        canvas.fillStyle = getComputedStyle(probe).color;
        canvas.fillRect(0, 0, 1, 1);
        const [r, g, b] = [...canvas.getImageData(0, 0, 1, 1).data].map((v) => (v /= 255) <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
        return 0.2126 * r + 0.7152 * g + 0.0722 * b;
      };
      const found = [];
      for (const ink of ["ink", "dim", "accent", "bad", "good", "kind-grid", "kind-group", "kind-lane", "kind-loop", "kind-unroll", "kind-vector"])
        for (const ground of ["ground", "sheet", "raised", "select"]) {
          const [a, b] = [light(ink), light(ground)].sort((x, y) => y - x);
          found.push([ink, ground, (a + 0.05) / (b + 0.05)]);
        }
      probe.remove();
      return found })()"""
    for scheme in ("light", "dark"):
        page.prefer(scheme)
        poor = [c for c in page.evaluate(script) if c[2] < 4.5]
        assert not poor, (scheme, poor)
    page.prefer("light")


def names_are_accessible(r):
    """Every control that takes the focus has a name, by the browser's own reckoning."""
    page = r.page
    r.open(r.few)
    page.evaluate("for (const id of ['kernels', 'sources']) byId(id).style.contentVisibility = 'visible'")
    nodes = page.call("Accessibility.getFullAXTree")["nodes"]
    roles = {"button", "radio", "combobox", "searchbox", "textbox", "link", "region", "article"}
    nameless = [n["role"]["value"] for n in nodes
                if not n.get("ignored") and n["role"]["value"] in roles and not n.get("name", {}).get("value")]
    assert len(nodes) > 300 and not nameless, nameless


def selects_and_shows(r):
    page = r.page
    r.open(r.few)
    page.click("#plan-table button.plan", 3)
    chosen = "[...document.querySelectorAll('.selected')].map(n => n.dataset.row)"
    assert set(page.evaluate(chosen)) == {"3"} and len(page.evaluate(chosen)) >= 4
    page.key("Escape")
    assert page.evaluate(chosen) == []
    page.click("#kernel-table button.open", 1)  # direct, in the right pane
    r.source("b")
    page.wait("document.querySelector('#pane-b select').selectedOptions[0].textContent.startsWith('direct: ')")
    page.hover("#scatter circle.point", 0)
    tip = page.evaluate("document.getElementById('tip').textContent")
    assert "median" in tip and "workspace" in tip, tip
    page.evaluate("document.querySelector('#roofline svg').focus()")
    page.key("ArrowRight")
    assert "FLOP/B" in page.evaluate("document.getElementById('tip').textContent")
    r.quiet()


def filters(r):
    page = r.page
    r.open(r.few)
    page.evaluate("document.getElementById('filter').focus()")
    page.write("old")
    page.wait(f"{column('plan')}.length === 2")
    assert page.evaluate(column("plan")) == ["old", "old-2k"]
    assert page.evaluate("document.querySelectorAll('#lanes .lane').length") == 2
    assert set(page.evaluate(column("plan", "#kernel-table"))) == {"old", "old-2k"}


def shows_markup_as_text(r):
    page = r.page
    r.open(r.hostile)
    r.source("a")
    assert page.evaluate("window.hacked") is None
    assert page.evaluate("document.querySelectorAll('img').length") == 0
    hostile = "</script><img src=x onerror=\"window.hacked=1\">"
    for place in ("#facts", "#line", "#plan-table", "#kernel-table", "#site-table"):
        assert hostile in page.evaluate(f"document.querySelector('{place}').textContent"), place
    page.click("#kernel-table tbody.bad button.open", 0)
    page.wait("document.querySelector('#pane-a .code').textContent.includes('onerror')")
    page.hover("#scatter .point.bad", 0)
    page.click("#plan-table tbody.bad button.plan", 0)
    assert page.evaluate("window.hacked") is None and page.evaluate("document.querySelectorAll('img').length") == 0
    red = page.evaluate("[...document.querySelectorAll('#plan-table tbody.bad')].map(b => getComputedStyle(b.querySelector('.reason td')).color)")
    assert len(red) == 2 and set(red) == {page.evaluate("getComputedStyle(document.querySelector('.counts .bad')).color")}, red
    reasons = page.evaluate("[...document.querySelectorAll('#plan-table .reason')].map(n => n.textContent)")
    assert any(t.startswith("refused: no such plan: ") for t in reasons) and any(t.startswith("ran in the interpreter: ") for t in reasons)
    r.quiet()


def limits_are_drawn_or_missed(r):
    page = r.page
    r.open(r.hostile)  # its limits are in it
    assert page.evaluate("document.querySelectorAll('#roofline .ceiling').length") == 3
    page.evaluate("rows.forEach(row => row.limits = null); drawFigures()")
    assert page.evaluate("document.querySelectorAll('#roofline .ceiling').length") == 0
    assert "not measured" in page.evaluate("document.getElementById('roofline-note').textContent")


def holds_256_plans(r):
    page = r.page
    size = os.path.getsize(r.all)
    assert size < MOST_BYTES, size
    r.open(r.all)
    assert len(page.evaluate(column("plan"))) == 256
    kernels = page.evaluate("[kernels.length, rows.reduce((n, row) => n + row.launches.length, 0), data.sources.length]")
    assert kernels[0] < kernels[1] / 2 and kernels[2] <= kernels[0], kernels
    assert "void " in r.source("a")
    same = page.evaluate("rows.findIndex(row => row.twin !== row)")  # selecting it selects what it is the same as
    page.click("#plan-table button.plan", same)
    assert page.evaluate("document.querySelectorAll('#scatter .point.selected').length") == 1
    assert page.evaluate("rows[document.querySelector('#scatter .point.selected').dataset.row] === view.selected.twin")
    load, paint = page.evaluate("[performance.getEntriesByType('navigation')[0].loadEventEnd,"
                                "performance.getEntriesByName('first-contentful-paint')[0]?.startTime ?? 0]")
    print(f"# 256 plans: {size} bytes, {kernels[0]} kernels of {kernels[1]}; loaded after {load:.0f} ms, first paint {paint:.0f} ms, "
          f"all drawn {page.evaluate('document.documentElement.dataset.ready')} ms")
    r.picture("all")


def holds_200_sites(r):
    page = r.page
    r.open(r.few)
    assert page.evaluate("byId('sites').hidden && document.querySelector('nav a[href=\"#sites\"]').hidden"), "one site has a table"
    r.open(r.network)
    assert page.evaluate("[byId('sites').hidden, byId('sites-count').textContent]") == [False, "200"]
    page.evaluate("byId('sites').scrollIntoView()")
    assert len(page.evaluate(column("label", "#site-table"))) == 200
    size = page.evaluate("(() => { const t = byId('site-table'); return [t.clientHeight, innerHeight, t.scrollHeight, t.clientWidth, innerWidth] })()")
    assert size[0] < 0.75 * size[1] and size[2] > 2000 and size[3] < size[4], size
    page.click(heading("median_us", "#site-table"))
    times = [float(t) for t in page.evaluate(column("median_us", "#site-table"))]
    assert times == sorted(times) and len(times) == 200
    assert page.evaluate("kernelTable.items[4].site.label") == "conv4"
    assert "conv4" in page.evaluate(column("site", "#kernel-table"))[4]
    for key, text in (("layout", "last"), ("layout_why", "chosen"), ("layout_us", "3.50"), ("plan_why", "predicted"), ("direct_us", "11.0"),
                      ("other", "x=global,g=global,m=global,o=global;wino=4x4"), ("other_us", "14.0")):
        assert page.evaluate(column(key, "#site-table"))[0] == text, key
    r.quiet()
    r.picture("sites")


def shows_several_problems(r):
    page = r.page
    r.open(r.bench)
    assert page.evaluate(column("problem")) == ["one", "two"]
    assert page.evaluate("document.querySelectorAll('#scatter .front').length") == 0
    page.evaluate("byId('problem').selectedIndex = 2; byId('problem').dispatchEvent(new Event('change'))")
    assert page.evaluate(column("problem")) == ["two"]
    assert page.evaluate("document.querySelectorAll('#scatter .front').length") == 1
    r.quiet()


def shows_that_nothing_ran(r):
    page = r.page
    r.open(r.none)
    assert page.evaluate(column("plan")) == ["old", "new"]
    assert page.evaluate("document.querySelectorAll('#plan-table tbody.bad .reason').length") == 2
    assert page.evaluate("document.querySelectorAll('.point, .lane, .line').length") == 0
    assert "Nothing here was run" in page.evaluate("document.getElementById('scatter').textContent")
    r.quiet()


def fits_narrow_windows(r):
    page = r.page
    for width in (1280, 600):
        page.resize(width, 900)
        for path in (r.few, r.all, r.hostile, r.network):
            r.open(path)
            assert page.evaluate("document.documentElement.scrollWidth") <= width, (width, path)
    r.open(r.few)
    r.picture("narrow")
    page.resize(1280, 900)


CASES = (opens, sorts_by_clicking, sorts_by_every_column, sorts_by_keyboard, switches_theme, contrast_is_enough, names_are_accessible,
         selects_and_shows, filters, shows_markup_as_text, limits_are_drawn_or_missed, holds_256_plans, holds_200_sites, shows_several_problems,
         shows_that_nothing_ran, fits_narrow_windows)


def main():
    browser = devtools.find_browser()
    if not browser:
        print("no Chromium (Debian: chromium), so no page was opened")
        return 77
    failed = 0
    try:
        page = devtools.start(browser)
    except (RuntimeError, OSError) as error:
        print(f"{browser} does not start here: {error}")
        return 77
    with tempfile.TemporaryDirectory(prefix="winnow-pages-") as folder, page:
        report = Report(page, *sys.argv[1:3], folder, sys.argv[3] if len(sys.argv) > 3 else None)
        for number, case in enumerate(CASES, 1):
            name = case.__name__.replace("_", " ")
            try:
                case(report)
                print(f"ok {number} - {name}")
            except Exception as error:  # pylint: disable=broad-except
                failed += 1
                print(f"not ok {number} - {name}")
                print("\n".join("# " + line for line in (traceback.format_exc() if not isinstance(error, AssertionError)
                                                        else traceback.format_exc(limit=-1)).splitlines()))
            sys.stdout.flush()
    print(f"1..{len(CASES)}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
