"""How long until the robot hears the joystick? `python -m aliengo_policy.benchmark_joystick_node`.

Runs the twin's graph with a relay on the wire and a policy that answers to nothing but the
command; flips a joystick at random moments and times the first changed command on the wire.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy

from aliengo_policy.benchmark import free_port
from aliengo_policy.graph import GraphSettings, sim_graph
from aliengo_policy.process_group import ProcessGroup
from aliengo_policy.scenario_node import Scenario, ScenarioError, open_scenario
from aliengo_policy.scheduling import raise_priority
from aliengo_policy.testing import write_linear_policy
from aliengo_policy.wire_tap import WireTap

# Default mapping of the teleop node: left stick and its dead man.
_STICK, _DEAD_MAN = 1, 4
_DEFLECTION = 0.4
_REST_S = 0.6  # the ramp of the acceleration limit ends well before
_QUIET_S = 0.1
_LOST_S = 0.5
_JOYSTICK_PRIORITY = 30


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmark_joystick", description=__doc__)
    parser.add_argument("--flips", type=int, default=100, help="number of joystick events")
    options = parser.parse_args(arguments)
    os.environ.setdefault("ROS_AUTOMATIC_DISCOVERY_RANGE", "LOCALHOST")
    try:
        delays = measure(options.flips)
    except ScenarioError as error:
        print(f"benchmark_joystick: {error}", file=sys.stderr)
        return 1
    answered = [delay for delay in delays if np.isfinite(delay)]
    p50, p99, top = np.percentile(answered, [50, 99, 100]) if answered else (np.nan,) * 3
    summary = {
        "cores": os.cpu_count(),
        "events": len(delays),
        "unanswered": len(delays) - len(answered),
        "joystick_to_wire_ms": {
            "p50": round(1e3 * p50, 2),
            "p99": round(1e3 * p99, 2),
            "max": round(1e3 * top, 2),
        },
    }
    print(json.dumps(summary, indent=2))
    return 0


def measure(flips: int) -> list[float]:
    """Time from each joystick event to the first changed command [s]; inf if there was none.

    Raises:
        ScenarioError: when the robot does not get to walking, or does not stay.
    """
    with tempfile.TemporaryDirectory() as folder:
        policy = write_linear_policy(Path(folder) / "leaning.onnx", _leaning())
        settings = GraphSettings(
            policy=str(policy), robot_port=free_port(), local_port=free_port(), teleop="unitree"
        )
        tap = WireTap(settings.robot_port)
        tapped = sim_graph(replace(settings, robot_port=tap.port))[1:]
        group = ProcessGroup([sim_graph(settings)[0], *tapped])

        def interrupted() -> str | None:
            ending = group.poll()
            return ending.reason if ending else None

        tap.start()
        group.start()
        # After the start, so that the processes do not inherit it: a late joystick is no figure.
        raise_priority(_JOYSTICK_PRIORITY)
        try:
            events = _flip(flips, interrupted)
        finally:
            group.stop()
            tap.close()
    return [_answer(event, tap.record.changes) for event in events]


def _flip(flips: int, interrupted: Callable[[], str | None]) -> list[float]:
    """Walks, then moves the stick to and fro; returns when it did."""
    random = np.random.default_rng(0)
    scenario = open_scenario((), "", interrupted, lambda text: print(text, file=sys.stderr))
    events: list[float] = []
    try:
        scenario.start_walking()
        scenario.leave_command()
        publisher = scenario.node.create_publisher(Joy, "joy", qos_profile_sensor_data)
        buttons = [0] * 11
        axes = [0.0] * 8
        axes[_STICK] = _DEFLECTION
        for _ in range(flips):
            # Released first: after any gap, the dead man counts only once it was seen open.
            buttons[_DEAD_MAN] = 0
            _publish_for(scenario, publisher, axes, buttons, 0.2)
            buttons[_DEAD_MAN] = 1
            _publish_for(scenario, publisher, axes, buttons, _REST_S)
            axes[_STICK] = -axes[_STICK]
            events.append(time.monotonic())
            _publish_for(scenario, publisher, axes, buttons, _REST_S + random.uniform(0.0, 0.1))
            if scenario.mode != "walk":
                raise ScenarioError(f"walking ended while measuring: {scenario.mode}")
    finally:
        scenario.close()
    return events


def _publish_for(
    scenario: Scenario, publisher: object, axes: list[float], buttons: list[int], seconds: float
) -> None:
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        publisher.publish(Joy(axes=axes, buttons=buttons))  # type: ignore[attr-defined]
        scenario.spin(0.02, lambda: False)


def _answer(event: float, changes: Sequence[float]) -> float:
    """Delay of the first change after a quiet wire; inf when nothing, or something else, moved."""
    index = bisect.bisect_right(changes, event)
    before = event - changes[index - 1] if index else np.inf
    if index == len(changes) or before < _QUIET_S or changes[index] - event > _LOST_S:
        return float("inf")
    return changes[index] - event


def _leaning() -> np.ndarray:
    """Policy that leans with the commanded vx (observation 6) and ignores all else."""
    matrix = np.zeros((45, 12))
    matrix[6, 1::3] = 0.05
    return matrix


if __name__ == "__main__":
    sys.exit(main())
