"""A headless Chromium, driven through its DevTools protocol over two pipes; Python's standard library only.

In: the path of a Chromium. Out: a Page: open, evaluate, click, keys, screenshot, what was said on its console. Always
holds: the browser has a profile of its own in a folder that goes away, is killed with its page, and a call that
gets no answer in time is an error.
"""

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time

BROWSERS = ("chromium", "chromium-browser", "chromium-headless-shell", "google-chrome", "google-chrome-stable")
PATIENCE = 60  # seconds for one answer: a machine that tests in parallel is slow


def find_browser():
    """The path of a Chromium, or None. $WINNOW_BROWSER names another."""
    return os.environ.get("WINNOW_BROWSER") or next(filter(None, map(shutil.which, BROWSERS)), None)


def start(browser):
    """A page, without Chromium's sandbox where it does not start with it; RuntimeError where it never does."""
    try:
        return Page(browser)
    except (RuntimeError, OSError):
        return Page(browser, sandbox=False)


class Page:
    """One page of a browser of its own."""

    def __init__(self, browser, width=1280, height=900, sandbox=True):
        self.profile = tempfile.mkdtemp(prefix="winnow-browser-")
        words = [browser, "--headless=new", "--remote-debugging-pipe", "--no-first-run", "--disable-gpu",
                 "--disable-dev-shm-usage", "--disable-background-networking", "--disable-component-update",
                 "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
                 f"--user-data-dir={self.profile}", f"--window-size={width},{height}"]
        if not sandbox or os.geteuid() == 0:
            words.append("--no-sandbox")  # Chromium's own sandbox refuses root, and many containers refuse it
        to_browser, self.out = os.pipe()
        self.into, from_browser = os.pipe()
        # the protocol is on descriptors 3 and 4
        script = f'exec "$0" "$@" 3<&{to_browser} 4>&{from_browser}'
        self.log = open(os.path.join(self.profile, "log"), "w+b")
        self.process = subprocess.Popen(["sh", "-c", script, *words], pass_fds=(to_browser, from_browser),
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        os.close(to_browser)
        os.close(from_browser)
        self.rest, self.number, self.session, self.events = b"", 0, None, []
        self.console = []  # errors, warnings and exceptions, as text
        self.requests = []  # addresses that the page asked for
        try:
            target = self.call("Target.createTarget", url="about:blank")["targetId"]
            self.session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
            for domain in ("Page", "Runtime", "Log", "Network"):
                self.call(f"{domain}.enable")
            self.resize(width, height)
            self.prefer("light")
        except BaseException:
            self.close()
            raise

    def __enter__(self):
        return self

    def __exit__(self, *unused):
        self.close()

    def close(self):
        self.process.kill()
        self.process.wait()
        self.log.close()
        for fd in (self.into, self.out):
            os.close(fd)
        shutil.rmtree(self.profile, ignore_errors=True)

    # --- the protocol -----------------------------------------------------------------------------------------------------

    def receive(self, until):
        """The next message, or None at the time `until`."""
        while b"\0" not in self.rest:
            left = until - time.monotonic()
            if left <= 0 or not select.select([self.into], [], [], left)[0]:
                return None
            more = os.read(self.into, 1 << 20)
            if not more:
                self.log.seek(0)
                raise RuntimeError("the browser ended: " + self.log.read().decode(errors="replace")[-400:])
            self.rest += more
        message, self.rest = self.rest.split(b"\0", 1)
        message = json.loads(message)
        if "method" in message:
            self.note(message["method"], message["params"])
        return message

    def note(self, method, params):
        self.events.append(method)
        if method == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning", "assert"):
            self.console.append(" ".join(str(a.get("value", a.get("description"))) for a in params["args"]))
        elif method == "Runtime.exceptionThrown":
            details = params["exceptionDetails"]
            self.console.append(details.get("exception", {}).get("description") or details["text"])
        elif method == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.console.append(params["entry"]["text"])
        elif method == "Network.requestWillBeSent":
            self.requests.append(params["request"]["url"])

    def call(self, method, **params):
        self.number += 1
        message = {"id": self.number, "method": method, "params": params}
        if self.session:
            message["sessionId"] = self.session
        try:
            os.write(self.out, json.dumps(message).encode() + b"\0")
        except BrokenPipeError:
            pass  # what it said before it ended is in its log, which receive() shows
        until = time.monotonic() + PATIENCE
        while True:
            answer = self.receive(until)
            if answer is None:
                raise RuntimeError(f"{method} got no answer in {PATIENCE} s")
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]

    # --- what a test does -------------------------------------------------------------------------------------------------

    def wait(self, expression):
        """Until the expression is true in the page."""
        until = time.monotonic() + PATIENCE
        while not self.evaluate(expression):
            if time.monotonic() > until:
                raise RuntimeError(f"never true: {expression}")
            time.sleep(0.02)

    def open(self, path):
        """A file, until it is loaded and has drawn itself."""
        self.console, self.requests, self.events = [], [], []
        self.call("Page.navigate", url="file://" + os.path.abspath(path))
        until = time.monotonic() + PATIENCE
        while "Page.loadEventFired" not in self.events:
            if self.receive(until) is None:
                raise RuntimeError(f"{path} was not loaded in {PATIENCE} s")
        self.wait("document.documentElement.dataset.ready !== undefined")

    def evaluate(self, expression):
        """The value of an expression of JavaScript, promises awaited."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            raise RuntimeError(details.get("exception", {}).get("description") or details["text"])
        return answer["result"].get("value")

    def place(self, selector, index=0):
        """The middle of an element, scrolled into view, in pixels of the window."""
        box = self.evaluate(f"(() => {{ const e = document.querySelectorAll({json.dumps(selector)})[{index}];"
                            "e.scrollIntoView({block: 'center', inline: 'center', behavior: 'instant'});"
                            "const b = e.getBoundingClientRect(); return [b.x + b.width / 2, b.y + b.height / 2] })()")
        return box[0], box[1]

    def mouse(self, kind, x, y, **more):
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, **more)

    def hover(self, selector, index=0):
        x, y = self.place(selector, index)
        self.mouse("mouseMoved", x, y)
        return x, y

    def click(self, selector, index=0):
        x, y = self.hover(selector, index)
        for kind in ("mousePressed", "mouseReleased"):
            self.mouse(kind, x, y, button="left", clickCount=1)

    def key(self, name, text=""):
        codes = {"Enter": 13, "Escape": 27, " ": 32, "ArrowRight": 39, "Tab": 9}
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=codes[name],
                      **({"text": text} if text and kind == "keyDown" else {}))

    def write(self, text):
        self.call("Input.insertText", text=text)

    def prefer(self, scheme):
        """The system's colours; motion is always off, so that nothing moves under the pointer."""
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme},
                                                          {"name": "prefers-reduced-motion", "value": "reduce"}])

    def resize(self, width, height):
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=False)

    def screenshot(self, path, whole=False):
        data = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(data))

    def pdf(self, path):
        data = self.call("Page.printToPDF", printBackground=True)["data"]
        with open(path, "wb") as out:
            out.write(base64.b64decode(data))
