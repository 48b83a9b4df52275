"""A browser without a window, spoken to over its DevTools protocol."""

import base64
import json
import pathlib
import shutil
import subprocess
import tempfile
import time

from websockets.sync.client import connect

DEADLINE = 30
NAMES = ["chromium", "chromium-browser", "google-chrome"]


class Broken(Exception):
    """The browser did not do what it was asked."""


class Browser:
    """One process with one page. `with Browser() as browser: browser.open(url)`."""

    def __init__(self):
        self.log = []  # what went wrong on the page: exceptions, errors, refused loads
        self.requests = []  # every address that was asked for
        self.seen = []  # events that nobody has looked at yet
        self.number = 0

    def __enter__(self):
        program = next(filter(None, map(shutil.which, NAMES)), None)
        if program is None:
            raise Broken("no chromium: apt-get install chromium")
        self.folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        profile = pathlib.Path(self.folder.name)
        self.process = subprocess.Popen(
            [
                program,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu",
                "--disable-dev-shm-usage",
                "--disable-background-networking",
                "--disable-component-update",
                "--no-first-run",
                "--hide-scrollbars",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                "about:blank",
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        address = None
        for line in self.process.stderr:
            if "DevTools listening on " in line:
                address = line.split("listening on ")[1].strip()
                break
        if address is None:
            raise Broken("chromium ended before it listened")
        # Nobody reads further lines; a full pipe must not stop it.
        self.process.stderr.close()
        self.socket = connect(address, max_size=None)
        self.session = None
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        attached = self.call("Target.attachToTarget", targetId=target, flatten=True)
        self.session = attached["sessionId"]
        for domain in ["Page", "Runtime", "Log", "Network"]:
            self.call(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self.socket.close()
        self.process.terminate()
        try:
            self.process.wait(DEADLINE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.folder.cleanup()

    def call(self, method, **parameters):
        """Asks and waits for the answer; events that come before it are kept."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.socket.send(json.dumps(message))
        until = time.monotonic() + DEADLINE
        while True:
            answer = self._receive(until, method)
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise Broken(f"{method}: {answer['error']['message']}")
                return answer["result"]

    def look(self, width=1200, height=900, dark=False, media=""):
        """How pages are looked at from now on."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[scheme])

    def open(self, url):
        """Loads a page and waits until it is complete; forgets what was before."""
        self.log, self.requests, self.seen = [], [], []
        self.call("Page.navigate", url=url)
        until = time.monotonic() + DEADLINE
        while not any(e["method"] == "Page.loadEventFired" for e in self.seen):
            self._receive(until, url)
        self.call("Runtime.evaluate", expression="document.fonts.ready", awaitPromise=True)

    def run(self, script):
        """The value of a JavaScript expression."""
        answer = self.call(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        if "exceptionDetails" in answer:
            details = answer["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            raise Broken(f"{text}\nin: {script[:200]}")
        return answer["result"].get("value")

    def move(self, x, y):
        """Moves the mouse to a place of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def press(self, key, code=0, shift=False):
        """Presses a key and lets it go."""
        for kind in ["keyDown", "keyUp"]:
            self.call(
                "Input.dispatchKeyEvent",
                type=kind,
                key=key,
                code=key,
                windowsVirtualKeyCode=code,
                modifiers=8 if shift else 0,
            )

    def picture(self, path, clip=None, whole=True):
        """Saves what the page looks like as PNG."""
        options = {"captureBeyondViewport": whole}
        if whole and clip is None:
            size = self.call("Page.getLayoutMetrics")["cssContentSize"]
            clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"]}
        if clip:
            options["clip"] = {"scale": 1, **clip}
        data = self.call("Page.captureScreenshot", format="png", **options)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def print(self, path):
        """Saves the page as PDF."""
        data = self.call("Page.printToPDF", printBackground=True, preferCSSPageSize=True)["data"]
        pathlib.Path(path).write_bytes(base64.b64decode(data))

    def _receive(self, until, what):
        left = until - time.monotonic()
        try:
            message = json.loads(self.socket.recv(timeout=max(left, 0.001)))
        except TimeoutError:
            raise Broken(f"no answer within {DEADLINE} s: {what}") from None
        if "method" in message:
            self._note(message)
        return message

    def _note(self, event):
        self.seen.append(event)
        method, told = event["method"], event["params"]
        if method == "Runtime.exceptionThrown":
            details = told["exceptionDetails"]
            text = details.get("exception", {}).get("description", details["text"])
            self.log.append(f"exception: {text}")
        elif method == "Runtime.consoleAPICalled" and told["type"] in ["error", "warning", "assert"]:
            words = " ".join(str(argument.get("value", "?")) for argument in told["args"])
            self.log.append(f"console {told['type']}: {words}")
        elif method == "Log.entryAdded" and told["entry"]["level"] in ["error", "warning"]:
            self.log.append(f"{told['entry']['source']}: {told['entry']['text']}")
        elif method == "Network.requestWillBeSent":
            self.requests.append(told["request"]["url"])
