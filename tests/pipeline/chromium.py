"""The system's Chromium, driven over a pipe with the standard library: no port, no driver, no network.

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
_PATIENCE_S = 120.0  # without a message: the machine may be loaded
_FLAGS = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--hide-scrollbars", "--mute-audio", "--disable-dev-shm-usage"),
    # root cannot have a sandbox; only our own page is opened, and no host name is resolved.
    *("--no-sandbox", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe"),
)


def found() -> str | None:
    """Return the path of a Chromium, None without one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Tab:
    """One Chromium with one tab.

    Attributes:
        events: The browser's events in order, (method, params) each.
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
        """Call a method and return its result.

        Raises:
            RuntimeError: The browser answered with an error, or ended.
            TimeoutError: The browser sent nothing for too long.
        """
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": params}
        if self._session:
            message["sessionId"] = self._session
        _write(self._out, json.dumps(message).encode() + b"\0")
        answer = self._until(lambda message: message.get("id") == self._sent)
        if "error" in answer:
            raise RuntimeError(f"{method}: {answer['error']}")
        return dict(answer["result"])

    def open(self, url: str) -> None:
        """Open ``url`` and wait until it has loaded."""
        self.events.clear()
        self.call("Page.navigate", url=url)
        self.wait("Page.loadEventFired")

    def wait(self, method: str, holds: Callable[[dict[str, Any]], bool] = lambda _: True) -> None:
        """Wait for an event, unless it is among those that have arrived."""
        if not any(name == method and holds(params) for name, params in self.events):
            self._until(lambda message: message.get("method") == method and holds(message["params"]))

    def run(self, script: str) -> Any:
        """Return the value of ``script``, an expression or a promise of one.

        Raises:
            RuntimeError: It throws.
        """
        found = self.call(
            "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True, userGesture=True
        )
        if "exceptionDetails" in found:
            raise RuntimeError(str(found["exceptionDetails"]))
        return found["result"].get("value")

    def size(self, width: int, height: int = 800, *, is_dark: bool = False) -> None:
        """Resize the window, and wait until the page has drawn itself again."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=width < 600
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.run("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")

    def close(self) -> None:
        """End the browser and wait for it."""
        self._session = ""
        try:
            self.call("Browser.close")
        finally:
            os.close(self._out)
            os.close(self._in)
            try:
                self._process.wait(_PATIENCE_S)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()

    def _until(self, holds: Callable[[dict[str, Any]], bool]) -> dict[str, Any]:
        """Read messages until one satisfies ``holds`` and return it; events are kept."""
        while True:
            while b"\0" in self._rest:
                line, _, self._rest = self._rest.partition(b"\0")
                message: dict[str, Any] = json.loads(line)
                if "method" in message:
                    self.events.append((message["method"], message["params"]))
                if holds(message):
                    return message
            if not select.select([self._in], [], [], _PATIENCE_S)[0]:
                raise TimeoutError(f"Chromium sent nothing for {_PATIENCE_S:.0f} s")
            if not (data := os.read(self._in, 1 << 20)):
                raise RuntimeError(f"Chromium ended with {self._process.wait()}")
            self._rest += data


def _high(descriptor: int) -> int:
    """Move a descriptor away from 3 and 4, which the browser needs."""
    moved = fcntl.fcntl(descriptor, fcntl.F_DUPFD_CLOEXEC, 10)
    os.close(descriptor)
    return moved


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
