"""Lets the tests run without torch, and without a screen."""

import ctypes.util
import importlib.util
import os
import sys
from typing import Any, Optional

import pytest


class _SkipTorch:
    """An import hook that turns the import of a missing torch into a skipped test."""

    @staticmethod
    def find_spec(name: str, path: Any = None, target: Any = None) -> Optional[Any]:
        if name == "torch":
            pytest.skip("torch is not installed", allow_module_level=True)
        return None


if importlib.util.find_spec("torch") is None:
    sys.meta_path.append(_SkipTorch)  # type: ignore[arg-type]

if not {"DISPLAY", "WAYLAND_DISPLAY", "MUJOCO_GL"} & set(os.environ):
    # Left to itself MuJoCo tries GLFW and may abort the process.
    os.environ["MUJOCO_GL"] = "egl" if ctypes.util.find_library("EGL") else "disable"


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let a user validate one physics backend: `pytest training/test/test_sim_conformance.py --sim isaacgym`."""
    parser.addoption(
        "--sim", default=None, help="backend of the conformance suite, default: all that run here"
    )
    parser.addoption(
        "--sim_device", default=None, help="its torch device, default: cuda:0 if there is one"
    )
