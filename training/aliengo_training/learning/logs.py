"""What a run leaves behind and shows: `metrics.csv`, TensorBoard, `params.json`, a progress line."""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import torch

from aliengo_training.checkpoints import config_dict, read_params


def earlier_stages(folder: Path, iteration: int) -> List[Dict[str, Any]]:
    """Parameters of a run that is continued and of the stages before it, oldest first.

    Args:
        folder: Of the run that is continued.
        iteration: Where it is continued; noted as `until_iteration`.
    """
    document = read_params(folder)
    if not document:
        return []
    before = document.pop("earlier_stages", [])
    return [*before, {**document, "until_iteration": iteration}]


def write_params(
    folder: Path,
    config: Any,
    command: List[str],
    extra: Dict[str, Any],
    earlier: Sequence[Dict[str, Any]] = (),
) -> None:
    """Write the resolved configuration and where it ran to `params.json`.

    Args:
        folder: Of the run.
        config: Of this stage.
        command: Arguments of `train.py`.
        extra: Further entries.
        earlier: Of the stages that this one continues (`earlier_stages`).
    """
    content = {
        "config": config_dict(config),
        "command": command,
        "git_commit": git_commit(),
        "versions": {"python": platform.python_version(), "torch": torch.__version__},
        **extra,
        "earlier_stages": list(earlier),
    }
    # Never half a file: what the earlier stages were is nowhere else.
    temporary = folder / "params.tmp"
    temporary.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    temporary.replace(folder / "params.json")


def git_commit() -> str:
    """Commit of the source tree, "unknown" outside of one."""
    here = str(Path(__file__).resolve().parent)
    try:
        result = subprocess.run(
            ["git", "-C", here, "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            timeout=5,
            check=True,
        )
    except (OSError, subprocess.SubprocessError):
        return os.environ.get("ALIENGO_GIT_COMMIT", "unknown")
    return result.stdout.strip()


class MetricsLog:
    """Appends metrics to `metrics.csv` and TensorBoard.

    Args:
        folder: The run's folder.
        resume: Keep the rows that are already there.
    """

    def __init__(self, folder: Path, resume: bool) -> None:
        self._path = folder / "metrics.csv"
        self._columns: Optional[List[str]] = None
        if resume and self._path.is_file():
            with self._path.open() as stream:
                self._columns = next(csv.reader(stream), None)
        self._stream = self._path.open("a" if self._columns else "w", newline="")
        self._writer = csv.writer(self._stream)
        try:
            from torch.utils.tensorboard import SummaryWriter

            self._board: Optional[Any] = SummaryWriter(str(folder))
        except ImportError:
            print("TensorBoard is not installed; metrics go to metrics.csv only", file=sys.stderr)
            self._board = None

    def write(self, iteration: int, metrics: Dict[str, float], environment_steps: int) -> None:
        """Append one row; a metric that the first row did not have is left out of the CSV."""
        row = {
            "iteration": iteration,
            "environment_steps": environment_steps,
            "time": time.time(),
            **metrics,
        }
        if self._columns is None:
            self._columns = list(row)
            self._writer.writerow(self._columns)
        self._writer.writerow([row.get(name, "") for name in self._columns])
        self._stream.flush()
        if self._board is not None:
            for name, value in metrics.items():
                self._board.add_scalar(name, value, environment_steps)

    def close(self) -> None:
        """Flush and close the files."""
        self._stream.close()
        if self._board is not None:
            self._board.close()


def _short(number: float) -> str:
    return f"{number / 1e3:.1f} k" if number >= 1e3 else f"{number:.0f}"


class Progress:
    """One line that is rewritten on a terminal, and printed now and then where there is none.

    Args:
        iterations: Last iteration.
        max_seconds: Time limit, or None.
        quiet_interval_s: Time between lines without a terminal [s].
    """

    def __init__(
        self, iterations: int, max_seconds: Optional[float], quiet_interval_s: float = 10.0
    ) -> None:
        self._iterations, self._max_seconds = iterations, max_seconds
        self._interval = quiet_interval_s
        self._started = time.monotonic()
        self._first: Optional[int] = None
        self._printed = float("-inf")

    def show(self, iteration: int, metrics: Dict[str, float]) -> None:
        """Show the state of the run."""
        now = time.monotonic()
        if self._first is None:
            self._first = iteration - 1
        elapsed = now - self._started
        remaining = elapsed / max(1, iteration - self._first) * (self._iterations - iteration)
        if self._max_seconds is not None:
            remaining = min(remaining, self._max_seconds - elapsed)
        text = (
            f"iteration {iteration}/{self._iterations}  ETA {max(0.0, remaining) / 60:.1f} min  "
            f"{_short(metrics['steps_per_s'])} steps/s  episode {metrics['episode_length']:.0f}  "
            f"velocity error {metrics['velocity_error']:.3f} m/s  style {metrics.get('style_reward', 0.0):.3f}"
        )
        terminal = sys.stdout.isatty()
        if terminal:
            print(f"\r{text}\033[K", end="", flush=True)
        elif now - self._printed >= self._interval:
            self._printed = now
            print(text, flush=True)

    def finish(self) -> None:
        """End the line."""
        if sys.stdout.isatty():
            print()
