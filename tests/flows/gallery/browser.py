"""A real headless Chromium, driven by its DevTools protocol: pages are opened, and clicked on as a person does."""

import base64
import contextlib
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from websockets.sync.client import ClientConnection, connect

PROGRAM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WAIT_S = 60.0  # for a page, on a busy machine
ANSWER_S = 15.0  # for a message: one that is asked between two pages may have no answer
DESKTOP, PHONE = (1280, 900), (390, 844)


class Browser:
    """A page of a browser."""

    def __init__(self, connection: ClientConnection) -> None:
        self.connection = connection
        self._number = 0
        self.logged: list[str] = []  # errors of scripts, and what the policy of a page refused
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> Any:
        """The answer to a message of the protocol."""
        self._number += 1
        self.connection.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self.connection.recv(timeout=ANSWER_S))
            if message.get("method") in ("Log.entryAdded", "Runtime.exceptionThrown"):
                self.logged.append(json.dumps(message["params"]))
            if message.get("id") == self._number:
                assert "error" not in message, message
                return message["result"]

    def value(self, script: str) -> Any:
        """The value of an expression on the page."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait(self, script: str, within_s: float = WAIT_S) -> Any:
        """The value of an expression as soon as it is true."""
        end = time.monotonic() + within_s
        while True:
            with contextlib.suppress(AssertionError, TimeoutError):  # between two pages there is none
                if found := self.value(script):
                    return found
            assert time.monotonic() < end, f"{script} did not come true on {self.value('document.body.innerText')}"
            time.sleep(0.05)

    def open(self, address: str) -> None:
        """Open an address, and wait until the page and its pictures are there."""
        self.ask("Page.navigate", url=address)
        self.settle()

    def settle(self) -> None:
        """Wait until the page and the pictures in sight are there."""
        self.wait("document.readyState === 'complete'")
        seen = "[...document.images].filter(i => i.loading !== 'lazy' && !i.complete).length === 0"
        self.wait(seen)

    def click(self, selector: str, at: tuple[float, float] = (0.5, 0.5)) -> None:
        """Click into an element, at shares of its width and height."""
        box = self.wait(
            f"(() => {{ const e = document.querySelector({json.dumps(selector)}); if (!e) return null;"
            "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
            "return [r.x, r.y, r.width, r.height]; })()"
        )
        x, y = box[0] + at[0] * box[2], box[1] + at[1] * box[3]
        for kind in ("mousePressed", "mouseReleased"):
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def type(self, selector: str, text: str) -> None:
        """Click into a field and type."""
        self.click(selector)
        self.ask("Input.insertText", text=text)

    def text(self) -> str:
        """The text of the page."""
        return str(self.value("document.body.innerText"))

    def show(self, size: tuple[int, int], *, dark: bool) -> None:
        """Take the size and the colours of a device."""
        width, height = size
        self.ask(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=size == PHONE
        )
        colours = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.ask("Emulation.setEmulatedMedia", features=colours)

    def screenshot(self, file: Path) -> None:
        """Write a PNG of what is in sight."""
        file.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot")["data"]))


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with a profile of its own in a folder."""
    assert PROGRAM
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    options += [f"--user-data-dir={folder}", "--remote-debugging-port=0", "--no-proxy-server", "about:blank"]
    process = subprocess.Popen([PROGRAM, *options], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        port = _port(folder / "DevToolsActivePort", process)
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(f"http://127.0.0.1:{port}/json", timeout=WAIT_S) as answer:
            address = next(one["webSocketDebuggerUrl"] for one in json.load(answer) if one["type"] == "page")
        with connect(address, max_size=None, open_timeout=WAIT_S, proxy=None) as connection:
            yield Browser(connection)
    finally:
        process.terminate()
        process.wait(20)


def _port(file: Path, process: subprocess.Popen[bytes]) -> int:
    end = time.monotonic() + WAIT_S
    while True:
        assert process.poll() is None, "the browser ended"
        assert time.monotonic() < end
        with contextlib.suppress(FileNotFoundError, IndexError, ValueError):
            return int(file.read_text().splitlines()[0])
        time.sleep(0.05)
