"""Headless Chromium over its DevTools pipe, for the tests that look at a page as a reader does."""

from __future__ import annotations

import base64
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
# Chromium reads and writes the descriptors 3 and 4; by way of high ones, so that neither is lost on the way
START = (
    "import os, sys\n"
    "for fd, high in zip(sys.argv[1:3], (63, 64)): os.dup2(int(fd), high)\n"
    "os.dup2(63, 3), os.dup2(64, 4), os.execv(sys.argv[3], sys.argv[3:])\n"
)


def find() -> str | None:
    """The browser; None where there is none (or no way to hand it a pipe)."""
    return (shutil.which("chromium") or shutil.which("chromium-browser")) if os.name == "posix" else None


class Page:
    """One page in a browser of its own, with a profile of its own under `folder`."""

    def __init__(self, folder: Path) -> None:
        to_browser, self._out = os.pipe()
        self._in, from_browser = os.pipe()

        command = [find() or "", *FLAGS, f"--user-data-dir={folder / 'profile'}"]
        self._browser = subprocess.Popen(
            [sys.executable, "-c", START, str(to_browser), str(from_browser), *command],
            pass_fds=(to_browser, from_browser),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._rest, self._id, self._session = b"", 0, None
        self.events: list[dict[str, Any]] = []
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def __enter__(self) -> Page:
        return self

    def __exit__(self, *_: object) -> None:
        self._browser.terminate()
        self._browser.wait(10)
        os.close(self._in)
        os.close(self._out)

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """The answer to a DevTools command."""
        self._id += 1
        message = {"id": self._id, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._out, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._id:
                assert "error" not in answer, answer["error"]
                return answer["result"]
            self.events.append(answer)

    def open(self, path: Path) -> None:
        """Loads a file and waits until it and its pictures are there."""
        self.call("Page.navigate", url=path.as_uri())
        deadline = time.monotonic() + 30
        while not self("document.readyState === 'complete' && [...document.images].every(i => i.complete)"):
            assert time.monotonic() < deadline, "the page does not load"
            time.sleep(0.05)

    def __call__(self, expression: str) -> Any:
        """The value of a JavaScript expression."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def screen(self, width: int, height: int, *, phone: bool = False, dark: bool = False, media: str = "") -> None:
        """The screen that the page is shown on."""
        self.call(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=2 if phone else 1,
            mobile=phone,
        )
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone)
        feature = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", media=media, features=[feature])

    def key(self, key: str) -> None:
        """A key pressed and released."""
        code = {"ArrowLeft": 37, "ArrowUp": 38, "ArrowRight": 39, "ArrowDown": 40, "Tab": 9}[key]
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def screenshot(self, *, whole: bool = False) -> bytes:
        """A PNG of the window, or of the whole page."""
        answer = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        return base64.b64decode(answer["data"])

    def complaints(self) -> list[str]:
        """Errors and warnings on the console: exceptions, refusals of the content security policy, all of it."""
        found = [json.dumps(e["params"]) for e in self.events if e["method"] == "Runtime.exceptionThrown"]
        found += [json.dumps(e["params"]) for e in self.events if e["method"] == "Runtime.consoleAPICalled"]
        entries = [e["params"]["entry"] for e in self.events if e["method"] == "Log.entryAdded"]
        return found + [e["text"] for e in entries if e["level"] in ("error", "warning")]

    def requests(self) -> list[str]:
        """Addresses that the page asked for."""
        sent = [e["params"]["request"]["url"] for e in self.events if e["method"] == "Network.requestWillBeSent"]
        return [url for url in sent if not url.startswith("data:")]

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            chunk = os.read(self._in, 1 << 20)
            assert chunk, "the browser is gone"
            self._rest += chunk
        line, _, self._rest = self._rest.partition(b"\0")
        return json.loads(line)
