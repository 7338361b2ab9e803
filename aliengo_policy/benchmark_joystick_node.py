"""`make bench-joystick`: how long until the robot hears the joystick?

Runs the twin's graph with a relay on the wire and a policy that answers to nothing but the
command; flips a joystick at random moments and times the first changed command on the wire.
"""

from __future__ import annotations

import argparse
import bisect
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import Joy

from aliengo_description.middleware import stay_local
from aliengo_description.scheduling import OPERATOR, raise_priority
from aliengo_policy.benchmark import free_port
from aliengo_policy.graph import GraphSettings, sim_graph
from aliengo_policy.process_group import ProcessGroup
from aliengo_policy.scenario_node import Scenario, ScenarioError, open_scenario
from aliengo_policy.testing import write_linear_policy
from aliengo_policy.wire_tap import TapProcess

# Default mapping of the teleop node: left stick and its dead man.
_STICK, _DEAD_MAN = 1, 4
_DEFLECTION = 0.4
_REST_S = 0.6  # the ramp of the acceleration limit ends well before
_QUIET_S = 0.1
_LOST_S = 0.5
_FOUND_S = 15.0
OUTPUT = Path("logs/joystick_benchmark.json")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark; returns the exit code."""
    parser = argparse.ArgumentParser(prog="benchmark_joystick", description=__doc__)
    parser.add_argument("--flips", type=int, default=100, help="number of joystick events")
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON file")
    options = parser.parse_args(arguments)
    stay_local()
    delays, ending = measure(options.flips)
    summary = summarise(delays)
    if delays:
        options.output.parent.mkdir(parents=True, exist_ok=True)
        options.output.write_text(json.dumps(summary, indent=2) + "\n")
        print(json.dumps(summary, indent=2))
    if ending:
        count = f"{len(delays)} of {options.flips} joystick events"
        print(f"benchmark_joystick: after {count}: {ending}", file=sys.stderr)
        return 1
    return 0


def summarise(delays: Sequence[float]) -> dict[str, Any]:
    """Figures of one run, times in milliseconds.

    Args:
        delays: of each event [s]; inf where no command changed.
    """
    answered = [delay for delay in delays if np.isfinite(delay)]
    p50, p99, top = np.percentile(answered, [50, 99, 100]) if answered else (np.nan,) * 3
    return {
        "machine": {
            "cores": len(os.sched_getaffinity(0)),
            "load": os.getloadavg()[0],
            "system": platform.platform(),
        },
        "events": len(delays),
        "unanswered": len(delays) - len(answered),
        "joystick_to_wire_ms": {
            "p50": round(1e3 * p50, 2),
            "p99": round(1e3 * p99, 2),
            "max": round(1e3 * top, 2),
        },
    }


def measure(flips: int) -> tuple[list[float], str]:
    """Time from each joystick event to the first changed command on the wire.

    Args:
        flips: number of events asked for.

    Returns:
        The times [s], inf if nothing changed, and why there are fewer than asked for, if so.
    """
    events: list[float] = []
    ending = ""
    with tempfile.TemporaryDirectory() as folder:
        policy = write_linear_policy(Path(folder) / "leaning.onnx", _leaning())
        settings = GraphSettings(
            policy=str(policy), robot_port=free_port(), local_port=free_port(), teleop="unitree"
        )
        tap = TapProcess(settings.robot_port)
        tapped = sim_graph(replace(settings, robot_port=tap.port))[1:]
        group = ProcessGroup([sim_graph(settings)[0], *tapped])

        group.start()
        # After the start, so that the processes do not inherit it: a late joystick is no figure.
        raise_priority(OPERATOR)
        try:
            _flip(flips, group.ending_reason, events)
        except ScenarioError as error:
            ending = str(error)
        finally:
            group.stop()
            record = tap.finish()
    return [_answer(event, record.changes) for event in events], ending


def _flip(flips: int, interrupted: Callable[[], str | None], events: list[float]) -> None:
    """Walks, then moves the stick to and fro; appends the time of each flip that the robot survived."""
    random = np.random.default_rng(0)
    scenario = open_scenario((), "", interrupted, lambda text: print(text, file=sys.stderr))
    try:
        # Before the robot walks, and waited for: a joystick that teleop has not found is not heard.
        publisher = scenario.node.create_publisher(Joy, "joy", qos_profile_sensor_data)
        scenario.wait_until(
            "teleop listens to joy", lambda: publisher.get_subscription_count() > 0, _FOUND_S
        )
        scenario.start_walking()
        scenario.leave_command()
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
            event = time.monotonic()
            _publish_for(scenario, publisher, axes, buttons, _REST_S + random.uniform(0.0, 0.1))
            if scenario.mode != "walk":
                reason = scenario.state.reason if scenario.state else "unknown"
                raise ScenarioError(f"walking ended while measuring: {scenario.mode}: {reason}")
            events.append(event)
    finally:
        scenario.close()


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
