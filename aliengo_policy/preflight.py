"""Checks robot, link, model and machine before anything moves: a green and red list.

It starts a bridge in shadow mode, which withholds every command, unless one is running already
(`--attach`). The robot lies prone with folded legs and is not touched. With `--guided` it asks for
each leg to be moved by hand, which proves the order of the legs. The exit code is 0 if nothing
failed.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from aliengo_description import robot
from aliengo_policy.graph import GraphSettings, real_graph
from aliengo_policy.parameters import resolve_policy
from aliengo_policy.paths import shared_folder
from aliengo_policy.preflight_checks import (
    Observed,
    Result,
    check_machine,
    check_robot,
    format_results,
    moved_joint,
)
from aliengo_policy.process_group import ProcessGroup

_FIRST_STATE_S = 10.0
_GUIDED_S = 8.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run all checks; returns the exit code."""
    options = _parser().parse_args(arguments)
    settings = GraphSettings(
        robot_address=options.robot_address,
        robot_port=options.robot_port,
        local_port=options.local_port,
        link=options.link,
        namespace=options.namespace,
        shadow=True,
        log_level="warn",
    )
    bridge = [spec for spec in real_graph(settings) if spec.name == "bridge"]
    group = ProcessGroup([] if options.attach else bridge, settings.namespace, "warn")
    group.start()
    try:
        results = _check_robot(group, settings.namespace, options.seconds, options.guided)
    finally:
        group.stop()
    policy = resolve_policy(options.policy, shared_folder("models"))
    results += check_machine(policy, Path.cwd())
    print(format_results(results, colour=sys.stdout.isatty() and "NO_COLOR" not in os.environ))
    failed = [result.name for result in results if result.passed is False]
    print(f"not ready: {', '.join(failed)}" if failed else "ready")
    return 1 if failed else 0


def _check_robot(group: ProcessGroup, namespace: str, seconds: float, guided: bool) -> list[Result]:
    from aliengo_policy.preflight_node import Listener

    listener = Listener(namespace)
    try:
        listener.wait(_FIRST_STATE_S, lambda: group.poll() is not None)
        ending = group.poll()
        if ending is not None:
            return [Result("link", False, ending.reason)]
        seen = listener.listen(seconds)
        results = check_robot(seen)
        if guided and results[0].passed:
            results += [_check_leg(listener.listen, seen, leg) for leg in robot.LEG_NAMES]
    finally:
        listener.close()
    return results


def _check_leg(listen: Callable[[float], Observed], rest: Observed, leg: str) -> Result:
    """Ask for a leg's knee to be stretched; its calf joint must move most, and upwards."""
    print(f"stretch the knee of leg {leg} by hand and let go ({_GUIDED_S:g} s)", flush=True)
    positions = listen(_GUIDED_S).joint_positions
    if not len(positions):
        return Result(f"leg {leg}", False, "no state from the robot: was the cable pulled?")
    moved = moved_joint(rest.joint_positions.mean(axis=0), positions)
    expected = f"{leg}_calf_joint"
    if moved is None:
        return Result(f"leg {leg}", False, "nothing moved by 0.2 rad or more")
    name, change = robot.JOINT_NAMES[moved[0]], moved[1]
    passed = bool(name == expected and np.sign(change) > 0)
    return Result(f"leg {leg}", passed, f"{name} moved by {change:+.2f} rad, expected {expected} +")


def _parser() -> argparse.ArgumentParser:
    defaults = GraphSettings()
    parser = argparse.ArgumentParser(prog="preflight", description=__doc__)
    parser.add_argument("--robot-address", default=defaults.robot_address, help="IPv4 address")
    parser.add_argument("--robot-port", type=int, default=defaults.robot_port, help="UDP port")
    parser.add_argument("--local-port", type=int, default=defaults.local_port, help="UDP port here")
    parser.add_argument("--link", default=defaults.link, help="udp, sdk or lcm")
    parser.add_argument("--namespace", default="", help="of the robot's topics")
    parser.add_argument("--policy", default=defaults.policy, help="model to check: name or path")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to listen")
    parser.add_argument("--attach", action="store_true", help="use the bridge that runs already")
    parser.add_argument(
        "--guided", action="store_true", help="ask for each leg to be moved by hand"
    )
    return parser


if __name__ == "__main__":
    sys.exit(main())
