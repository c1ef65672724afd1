"""The system's Chromium, driven over a pipe by the standard library: no port, no driver, no network.

Source: Chrome DevTools Protocol, https://chromedevtools.github.io/devtools-protocol/; of ``--remote-debugging-pipe``,
chromium, content/public/common/content_switches: messages are JSON, each ended by a zero byte, in on descriptor 3 and
out on 4.
"""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome")
_PATIENCE = 120  # seconds without a word: the machine may be loaded
_FLAGS = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--mute-audio", "--disable-dev-shm-usage"),
    # Root has no sandbox; nothing but our own page is opened, and no name is resolved.
    *("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"),
)


def found() -> str | None:
    """Return where a Chromium is, None where there is none."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One Chromium with one tab.

    Attributes:
        events: What the browser told unasked, in order: (method, params).
    """

    def __init__(self, executable: str, profile: Path) -> None:
        to_browser, self._out = map(_high, os.pipe())
        self._in, from_browser = map(_high, os.pipe())

        def at_3_and_4() -> None:
            os.dup2(to_browser, 3)
            os.dup2(from_browser, 4)

        self._process = subprocess.Popen(
            [executable, *_FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            preexec_fn=at_3_and_4, pass_fds=(3, 4), start_new_session=True,
        )  # fmt: skip
        os.close(to_browser)
        os.close(from_browser)
        self.events: list[tuple[str, dict[str, Any]]] = []
        self._rest, self._sent, self._session = b"", 0, ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Network", "Log"):
            self.call(f"{domain}.enable")

    def call(self, method: str, **params: Any) -> dict[str, Any]:
        """Ask for one thing and wait for the answer. Raises RuntimeError where it is refused."""
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        _write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda told: told.get("id") == self._sent)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, url: str) -> None:
        """Go to ``url`` and wait until it has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def wait(self, method: str, holds: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
        """Wait for an event, or find it among those that came."""
        if not any(name == method and holds(params) for name, params in self.events):
            self._until(lambda told: told.get("method") == method and holds(told["params"]))

    def run(self, script: str) -> Any:
        """Return what ``script``, an expression or a promise of one, comes to. Raises RuntimeError where it throws."""
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def size(self, width: int, height: int = 800, *, is_dark: bool = False) -> None:
        """Make the window so wide, and let the page draw itself again."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def close(self) -> None:
        """End the browser, and wait for it."""
        self._session = ""
        try:
            self.call("Browser.close")
        finally:
            os.close(self._out)
            os.close(self._in)
            try:
                self._process.wait(_PATIENCE)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read messages until one holds; the others are kept as events."""
        while True:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                told: dict[str, Any] = json.loads(line)
                if "method" in told:
                    self.events.append((told["method"], told["params"]))
                if holds(told):
                    return told
            if not select.select([self._in], [], [], _PATIENCE)[0]:
                raise TimeoutError(f"Chromium said nothing for {_PATIENCE} s")
            if not (data := os.read(self._in, 1 << 20)):
                raise RuntimeError(f"Chromium ended with {self._process.wait()}")
            self._rest += data


def _high(descriptor: int) -> int:
    """Move a descriptor out of the way of 3 and 4."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
