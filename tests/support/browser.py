"""A JupyterLab, and a headless Chromium driven over its DevTools protocol: real mouse and keys, what the page shows."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import socket
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import websocket
from fake_grids import ROOT
from processes import wait_for

CHROMIUM = next((c for c in ("chromium", "chromium-browser", "google-chrome") if shutil.which(c)), None)
LOCATE = "(r => [r.x + r.width * {across}, r.y + r.height / 2])({element}.getBoundingClientRect())"
KEYS = {"Home": 36, "ArrowLeft": 37, "ArrowRight": 39}
CTRL = 2


class Page:
    """A page in a browser of its own, which ends with it: a context manager."""

    def __init__(self, place: Path, width: int = 1400, height: int = 1000):
        self.place, self.size, self._number = place, (width, height), 0

    def __enter__(self) -> Page:
        options = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--hide-scrollbars"]
        profile = self.place / "profile"
        words = [CHROMIUM, *options, "--remote-debugging-port=0", f"--user-data-dir={profile}", "about:blank"]
        self._browser = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            port = wait_for(lambda: _first_line(profile / "DevToolsActivePort"), 60, "Chromium's port")
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list", timeout=30) as answer:
                (target,) = [each for each in json.load(answer) if each["type"] == "page"]
            self._socket = websocket.create_connection(
                target["webSocketDebuggerUrl"], timeout=60, suppress_origin=True, enable_multithread=False
            )
            width, height = self.size
            view = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
            self.ask("Emulation.setDeviceMetricsOverride", **view)
        except BaseException:
            end(self._browser)
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()
        end(self._browser)

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """What the browser answers to a command; events are passed over."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while (answer := json.loads(self._socket.recv())).get("id") != self._number:
            pass
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        return answer["result"]

    def value(self, script: str) -> Any:
        """The value of an expression of JavaScript; of a promise what it comes to."""
        answer = self.ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{script}: {answer['exceptionDetails']}"
        return answer["result"].get("value")

    def wait(self, script: str, seconds: float = 120) -> Any:
        """The value of the expression once it is true."""
        return wait_for(lambda: self.value(script), seconds, script)

    def click(self, element: str, across: float = 0.5, modifiers: int = 0) -> None:
        """A click on an element, an expression of JavaScript, at a share of its width."""
        self.value(f"{element}.scrollIntoView({{block: 'center'}})")
        x, y = self.value(LOCATE.format(element=element, across=across))
        for kind in ("mouseMoved", "mousePressed", "mouseReleased"):
            button = {} if kind == "mouseMoved" else {"button": "left", "clickCount": 1}
            self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, modifiers=modifiers, **button)

    def choose_next(self, select: str) -> None:
        """The next option of a drop-down list, which the system shows outside of the page."""
        self.value(f"{select}.selectedIndex += 1, {select}.dispatchEvent(new Event('change', {{bubbles: true}}))")

    def key(self, name: str) -> None:
        """A key pressed and let go."""
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=KEYS[name])

    def screenshot(self, path: Path) -> None:
        path.write_bytes(base64.b64decode(self.ask("Page.captureScreenshot", format="png")["data"]))


@contextmanager
def lab(place: Path, notebook: str) -> Iterator[str]:
    """The address at which a JupyterLab of its own, on the loopback interface, shows a notebook of `place`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    token, server = secrets.token_hex(16), f"http://127.0.0.1:{port}"
    options = {
        "ServerApp.ip": "127.0.0.1", "ServerApp.port": port, "ServerApp.port_retries": 0, "ServerApp.root_dir": place,
        "IdentityProvider.token": token, "LabApp.expose_app_in_browser": True,
    }  # fmt: skip
    words = ["--no-browser", "--allow-root", *(f"--{name}={value}" for name, value in options.items())]
    words = [sys.executable, "-m", "jupyterlab", *words]
    env = {k: v for k, v in os.environ.items() if not k.startswith(("JUPYTER", "MPLBACKEND"))}
    env |= {f"JUPYTER_{kind}_DIR": str(place / kind) for kind in ("CONFIG", "DATA", "RUNTIME")}
    env |= {"HOME": str(place), "PYTHONPATH": str(ROOT)}
    with open(place / "lab.log", "wb") as log:
        process = subprocess.Popen(words, cwd=place, env=env, stdout=log, stderr=log)
    try:
        wait_for(lambda: _answers(f"{server}/api?token={token}"), 180, "JupyterLab")
        yield f"{server}/doc/tree/{notebook}?token={token}"
    finally:
        end(process)  # and its kernels with it


def end(process: subprocess.Popen) -> None:
    process.terminate()
    try:
        process.wait(30)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _answers(address: str) -> bool:
    try:
        with urllib.request.urlopen(address, timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def _first_line(path: Path) -> str:
    lines = path.read_text().splitlines() if path.exists() else []
    return lines[0] if lines else ""
