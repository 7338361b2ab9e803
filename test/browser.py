"""A headless Chromium, driven through its DevTools protocol without a driver program."""

from __future__ import annotations

import base64
import io
import itertools
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image
from processes import ENDS_WITH_US
from websockets.sync.client import connect

__all__ = ["Browser", "find_chromium"]

DEADLINE_S = 60.0


def find_chromium() -> str | None:
    """Path of a Chromium or Chrome on this machine."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return next((path for name in names if (path := shutil.which(name))), None)


def wait_for(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + DEADLINE_S
    while not (result := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {DEADLINE_S} s"
        time.sleep(0.05)
    return result


class Browser:
    """One page in one browser."""

    def __init__(self, executable: str, url: str, profile: Path) -> None:
        self._process = subprocess.Popen(
            [
                *ENDS_WITH_US,
                executable,
                "--headless=new",
                "--no-sandbox",
                "--disable-gpu-sandbox",
                "--use-angle=swiftshader",
                "--enable-unsafe-swiftshader",
                "--window-size=900,700",
                "--remote-debugging-port=0",
                f"--user-data-dir={profile}",
                url,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        port_file = profile / "DevToolsActivePort"
        wait_for(lambda: port_file.is_file() and port_file.read_text().count("\n"), "the browser")
        self._port = port_file.read_text().split()[0]
        target = wait_for(lambda: self._find_page(url), "the page")
        self._socket = connect(target, max_size=None)
        self._ids = itertools.count(1)

    def _find_page(self, url: str) -> str | None:
        with urllib.request.urlopen(f"http://127.0.0.1:{self._port}/json") as response:
            pages = json.load(response)
        return next((p["webSocketDebuggerUrl"] for p in pages if p["url"].startswith(url)), None)

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._ids)
        self._socket.send(json.dumps({"id": number, "method": method, "params": parameters}))
        while True:
            message = json.loads(self._socket.recv(timeout=DEADLINE_S))
            if message.get("id") == number:
                assert "error" not in message, message
                return message["result"]

    def evaluate(self, script: str) -> Any:
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True)
        return result["result"].get("value")

    def text(self) -> str:
        return self.evaluate("document.body.innerText") or ""

    def wait_for_text(self, text: str) -> None:
        wait_for(lambda: text in self.text(), f"text {text!r} on the page")

    def press(self, label: str) -> tuple[float, float]:
        """Presses the mouse on a button and keeps it down; returns where."""
        script = f"""(() => {{
            const found = [...document.querySelectorAll('button')]
                .find(button => button.innerText.trim() === {json.dumps(label)});
            if (!found) return null;
            found.scrollIntoView({{block: 'center'}});
            const box = found.getBoundingClientRect();
            return [box.x + box.width / 2, box.y + box.height / 2];
        }})()"""
        x, y = wait_for(lambda: self.evaluate(script), f"button {label!r}")
        for kind in ("mouseMoved", "mousePressed"):
            self._mouse(kind, x, y)
        return x, y

    def release(self, place: tuple[float, float]) -> None:
        self._mouse("mouseReleased", *place)

    def click(self, label: str) -> None:
        self.release(self.press(label))

    def _mouse(self, kind: str, x: float, y: float) -> None:
        self.call("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    def scene(self) -> np.ndarray:
        """What the 3D part of the page looks like, (height, width, 3)."""
        box = self.evaluate(
            "(() => { const box = document.querySelector('canvas').getBoundingClientRect();"
            "return [box.x, box.y, box.width, box.height]; })()"
        )
        clip = dict(zip(("x", "y", "width", "height"), box, strict=True)) | {"scale": 1}
        data = self.call("Page.captureScreenshot", format="png", clip=clip)["data"]
        image = Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB")
        return np.asarray(image, dtype=np.int16)

    def close(self) -> None:
        self._socket.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
