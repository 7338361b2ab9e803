"""`make bench-control`: jitter and latency of the running graph, as JSON and histograms."""

from __future__ import annotations

import argparse
import json
import os
import platform
import socket
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from aliengo_description.middleware import stay_local
from aliengo_description.scheduling import OPERATOR, raise_priority
from aliengo_policy.graph import GraphSettings, sim_graph
from aliengo_policy.process_group import ProcessGroup
from aliengo_policy.testing import write_linear_policy
from aliengo_policy.wire_tap import TapProcess, TapRecord, latencies

OUTPUT = Path("logs/control_benchmark.json")
# Makes every action differ from the one before: it answers the noise of the joint sensors, which is
# otherwise harmless (0.02 rad of target for a joint speed of 1 rad/s).
_ECHO_GAIN = 1.6


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmark", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0, help="time of the measurement")
    parser.add_argument(
        "--output", type=Path, default=OUTPUT, help="JSON file; the plot lies beside it"
    )
    options = parser.parse_args(arguments)
    stay_local()
    from aliengo_policy.scenario_node import ScenarioError

    try:
        record, reports = measure(options.seconds)
    except ScenarioError as error:
        print(f"benchmark: {error}", file=sys.stderr)
        return 1
    answers = latencies(record, reports.ticks)
    summary = summarise(record, answers, reports.inference_s, reports.diagnostics)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(summary, indent=2) + "\n")
    plot(record, answers, options.output.with_suffix(".png"))
    print(json.dumps(summary, indent=2))
    print(f"written: {options.output}, {options.output.with_suffix('.png')}")
    return 0


def measure(seconds: float) -> tuple[TapRecord, Any]:
    """Run the graph with a relay on the wire; returns what passed and what the nodes reported.

    Raises:
        ScenarioError: when the robot does not get to walking.
    """
    from aliengo_policy.benchmark_node import collect

    with tempfile.TemporaryDirectory() as folder:
        policy = write_linear_policy(Path(folder) / "echo.onnx", _echo())
        settings = GraphSettings(
            policy=str(policy), robot_port=free_port(), local_port=free_port(), log_level="info"
        )
        tap = TapProcess(settings.robot_port)
        twin, *others = sim_graph(settings)
        tapped = sim_graph(replace(settings, robot_port=tap.port))[1:]
        assert [spec.name for spec in others] == [spec.name for spec in tapped]
        group = ProcessGroup([twin, *tapped])

        group.start()
        # After the start, so that the processes do not inherit it: a late command is a stop.
        raise_priority(OPERATOR)
        try:
            reports = collect(
                seconds, group.ending_reason, lambda text: print(text, file=sys.stderr)
            )
        finally:
            group.stop()
            record = tap.finish()
    return record, reports


def summarise(
    record: TapRecord,
    answers: Sequence[float],
    inference_s: Sequence[float],
    diagnostics: dict[str, list[dict[str, str]]],
) -> dict[str, Any]:
    """Figures of one run, times in milliseconds."""
    answered = [value for value in answers if np.isfinite(value)]
    return {
        "machine": {"cores": os.cpu_count(), "system": platform.platform()},
        "state_to_command_ms": {**_spread(answered), "steps": len(answers),
                                "unanswered": len(answers) - len(answered)},
        "command_period_ms": _spread(np.diff(record.commands)),
        "state_period_ms": _spread(np.diff([time_s for _, time_s in record.states])),
        "inference_ms": _spread([value for value in inference_s if value > 0.0]),
        "bridge_loop": _bridge_loop(diagnostics),
    }  # fmt: skip


def plot(record: TapRecord, answers: Sequence[float], path: Path) -> None:
    """Histograms of the answer times and of the periods on the wire."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    periods = np.diff([time_s for _, time_s in record.states])
    figure, panels = pyplot.subplots(1, 3, figsize=(13, 3.6), layout="constrained")
    for panel, (title, values) in zip(
        panels,
        (
            ("state on the wire to command on the wire", [v for v in answers if np.isfinite(v)]),
            ("period of commands", np.diff(record.commands)),
            ("period of states", periods),
        ),
        strict=True,
    ):
        panel.hist(1e3 * np.asarray(values), bins=80, color="#1f77b4")
        panel.set_yscale("log")
        panel.set_title(title, fontsize=10)
        panel.set_xlabel("time [ms]")
        panel.grid(alpha=0.3)
    figure.savefig(path, dpi=120)
    pyplot.close(figure)


def free_port() -> int:
    """A UDP port that was free a moment ago."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _echo() -> np.ndarray:
    """Matrix of a policy that adds a little damping: joint speeds (21:33) drive the actions."""
    matrix = np.zeros((45, 12))
    matrix[21:33] = -_ECHO_GAIN * np.eye(12)
    return matrix


def _spread(values: Any) -> dict[str, float]:
    if len(values) == 0:
        return {"p50": 0.0, "p99": 0.0, "max": 0.0}
    p50, p99, top = np.percentile(values, [50, 99, 100])
    return {"p50": round(1e3 * p50, 4), "p99": round(1e3 * p99, 4), "max": round(1e3 * top, 4)}


def _bridge_loop(diagnostics: dict[str, list[dict[str, str]]]) -> dict[str, str]:
    for name, values in diagnostics.items():
        if name.endswith("bridge: loop"):
            # Everything else counts from the start, this one for the last minute.
            latest = max((value["jitter_max_s"] for value in values), key=float)
            return values[-1] | {"jitter_max_s": latest}
    return {}


if __name__ == "__main__":
    sys.exit(main())
