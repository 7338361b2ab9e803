"""Training the points of a sweep: one process of `train.py` per device, continued where it was cut off."""

from __future__ import annotations

import dataclasses
import json
import queue
import subprocess
import threading
import time
from pathlib import Path
from typing import Dict, Iterator, List, Optional, Sequence, Tuple

from aliengo_training.checkpoints import find_checkpoint, iterations
from aliengo_training.learning.run_metrics import seconds_trained
from aliengo_training.programs import command
from aliengo_training.sweep.points import Point

__all__ = ["PointError", "TrainingPlan", "point_folder", "train_points"]

#: Written into a run's folder when its training has ended by itself.
_MARK = "trained.json"
#: Written into it when its training begins.
_SETTINGS = "settings.json"
#: A run that is told to stop writes a checkpoint after the iteration in progress [s].
_STOP_TIMEOUT_S = 60.0


class PointError(RuntimeError):
    """A point could not be trained; the message names its log."""


@dataclasses.dataclass(frozen=True)
class TrainingPlan:
    """How every point of a sweep is trained.

    Attributes:
        task: Of `train.py`.
        root: Folder of the sweep.
        arguments: For `train.py`, the same for every point.
        max_minutes: Training time of a point, start-up not counted.
        devices: Torch devices; each trains one point at a time.
        deadline: On the monotonic clock: no point is begun whose training would end later [s].
    """

    task: str
    root: Path
    arguments: Tuple[str, ...]
    max_minutes: float
    devices: Tuple[str, ...]
    deadline: Optional[float] = None


def point_folder(plan: TrainingPlan, point: Point) -> Path:
    """Run folder of a point."""
    return plan.root / plan.task / point.name


def train_points(plan: TrainingPlan, points: Sequence[Point]) -> Iterator[Tuple[Point, Path]]:
    """Train points, side by side on several devices, and yield (point, checkpoint) as they end.

    A point whose training has ended before, with the same settings, is yielded at once. One that
    was cut off goes on from its last checkpoint for the time that is left to it. Points that the
    deadline leaves no time for are not yielded. On any exception here the processes are told to
    stop, and leave a checkpoint.

    Raises:
        ValueError: If a point was trained with other settings.
        PointError: If a training fails.
    """
    waiting: List[Point] = []
    for point in points:
        checkpoint = _trained(plan, point)
        if checkpoint is None:
            waiting.append(point)
        else:
            yield point, checkpoint
    pool = _Pool(plan, waiting)
    try:
        yield from pool.results()
    finally:
        pool.stop()


def _settings(plan: TrainingPlan, point: Point) -> Dict[str, object]:
    return {
        "arguments": [*plan.arguments, *point.overrides],
        "max_minutes": plan.max_minutes,
        "task": plan.task,
    }


def _trained(plan: TrainingPlan, point: Point) -> Optional[Path]:
    """The last checkpoint of a point that is done; None if it is not."""
    folder = point_folder(plan, point)
    settings = folder / _SETTINGS
    if settings.is_file() and iterations(folder):  # what was refused has trained nothing
        found = json.loads(settings.read_text(encoding="utf-8"))
        wanted = _settings(plan, point)
        other = [key for key in wanted if found.get(key) != wanted[key]]
        if other:
            was, now = ({key: source.get(key) for key in other} for source in (found, wanted))
            if "arguments" in other:
                was["arguments"], now["arguments"] = _differing(
                    found.get("arguments", []), [*plan.arguments, *point.overrides]
                )
            raise ValueError(
                f"{folder} was trained with {was}, now it is {now}; choose another --out"
            )
    return find_checkpoint(folder) if (folder / _MARK).is_file() else None


def _differing(first: Sequence[str], second: Sequence[str]) -> Tuple[List[str], List[str]]:
    """What two command lines do not begin and end with alike."""
    start = 0
    while start < min(len(first), len(second)) and first[start] == second[start]:
        start += 1
    end = 0
    while end < min(len(first), len(second)) - start and first[-1 - end] == second[-1 - end]:
        end += 1
    # With the option that the first value belongs to.
    start -= 1 if start and first[start - 1].startswith("--") else 0
    return list(first[start : len(first) - end]), list(second[start : len(second) - end])


class _Pool:
    """One thread per device, each of which trains what is next in the queue."""

    def __init__(self, plan: TrainingPlan, points: Sequence[Point]) -> None:
        self._plan = plan
        self._waiting: queue.Queue[Point] = queue.Queue()
        for point in points:
            self._waiting.put(point)
        self._ended: queue.Queue[Tuple[Optional[Point], Optional[BaseException]]] = queue.Queue()
        self._lock = threading.Lock()
        self._running: List[subprocess.Popen[bytes]] = []
        self._stopping = False
        self._threads = [
            threading.Thread(target=self._serve, args=(device,), daemon=True)
            for device in plan.devices
        ]
        for thread in self._threads:
            thread.start()

    def results(self) -> Iterator[Tuple[Point, Path]]:
        """Yield what is trained, until every thread has ended."""
        serving = len(self._threads)
        while serving:
            point, error = self._ended.get()
            if error is not None:
                raise error
            if point is None:
                serving -= 1
            else:
                yield point, find_checkpoint(point_folder(self._plan, point))

    def stop(self) -> None:
        """Let nothing new begin, and end what runs."""
        with self._lock:
            self._stopping = True
            for process in self._running:
                process.terminate()
        for thread in self._threads:
            thread.join(_STOP_TIMEOUT_S)

    def _serve(self, device: str) -> None:
        try:
            while True:
                point = self._next()
                if point is None or not self._train(point, device):
                    break
                self._ended.put((point, None))
            self._ended.put((None, None))
        except (
            BaseException
        ) as error:  # a thread's exception would be lost; it is raised by results()
            self._ended.put((None, error))

    def _next(self) -> Optional[Point]:
        deadline = self._plan.deadline
        if deadline is not None and time.monotonic() + 60.0 * self._plan.max_minutes > deadline:
            return None
        try:
            return self._waiting.get_nowait()
        except queue.Empty:
            return None

    def _train(self, point: Point, device: str) -> bool:
        """Run one training to its end; False if it was stopped."""
        folder = point_folder(self._plan, point)
        minutes = self._plan.max_minutes - seconds_trained(folder) / 60.0
        arguments = ["--task", self._plan.task]
        arguments += ["--output_name", point.name, "--log_root", str(self._plan.root)]
        arguments += ["--rl_device", device, "--max_minutes", f"{max(minutes, 0.0):.4f}"]
        arguments += [*self._plan.arguments, *point.overrides]
        if iterations(folder):
            arguments.append("--resume")
        folder.mkdir(parents=True, exist_ok=True)
        text = json.dumps(_settings(self._plan, point), indent=2)
        (folder / _SETTINGS).write_text(text + "\n", encoding="utf-8")
        log = folder / "train.log"
        with log.open("ab") as stream:
            with self._lock:
                if self._stopping:
                    return False
                # A session of its own: Ctrl-C reaches this process alone, which then stops the others.
                process = subprocess.Popen(
                    command("train", arguments),
                    stdout=stream,
                    stderr=stream,
                    start_new_session=True,
                )
                self._running.append(process)
            code = process.wait()
            with self._lock:
                self._running.remove(process)
                if self._stopping:
                    return False
        if code != 0:
            lines = log.read_text(encoding="utf-8", errors="replace").splitlines()
            last = lines[-1] if lines else "nothing"
            raise PointError(f"training {point.name} ended with {code}: {last} (all of it: {log})")
        (folder / _MARK).write_text(json.dumps({"device": device}) + "\n", encoding="utf-8")
        return True
