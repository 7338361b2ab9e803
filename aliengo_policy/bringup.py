"""Runs the whole graph without `ros2 launch`: `python -m aliengo_policy.bringup real|sim`.

`sim` walks a script and prints how well the commands were followed, unless `--interactive` leaves
the command to others. The death of a critical process ends everything, the bridge last but for the
robot.
"""

from __future__ import annotations

import argparse
import signal
import sys
from collections.abc import Sequence
from dataclasses import fields, replace
from pathlib import Path
from types import FrameType

from aliengo_description.middleware import avoid_shared_memory, stay_local
from aliengo_description.scheduling import OPERATOR, raise_priority
from aliengo_description.signals import on_end_signal
from aliengo_policy.contract import ContractError
from aliengo_policy.graph import (
    REAL_ARGUMENTS,
    SIM_ARGUMENTS,
    Argument,
    GraphSettings,
    real_graph,
    sim_graph,
)
from aliengo_policy.policy_file import prepare_policy
from aliengo_policy.process_group import ProcessGroup, flush, say
from aliengo_policy.runtime import PolicyRuntime
from aliengo_policy.scenario import (
    Segment,
    format_table,
    forward_script,
    judge,
    plot,
    script_for,
)

PLOT_PATH = Path("logs/vel_tracking.png")


def main(arguments: Sequence[str] | None = None) -> int:
    """Parse the command line and run; returns the exit code."""
    options = _parser().parse_args(arguments)
    values = vars(options)  # without the arguments of the graph that were not given
    names = {item.name for item in fields(GraphSettings)}
    try:
        settings = GraphSettings(**{key: values[key] for key in values if key in names})
        settings = prepare_policy(settings)
        contract = PolicyRuntime(settings.policy).contract
        script = script_for(contract.kind)
        if values.get("speeds"):  # of the twin only
            script = forward_script(options.speeds, options.hold)
    except (ContractError, ValueError) as error:
        print(f"bringup: {error}", file=sys.stderr)
        return 1
    try:
        return _run(options, settings, script, "max_vel" in values)
    finally:
        flush()


def _run(
    options: argparse.Namespace, settings: GraphSettings, script: Sequence[Segment], limited: bool
) -> int:
    if options.graph == "real":
        return run_real(settings)
    fastest = max(segment.velocity[0] for segment in script)
    if not options.interactive and fastest > settings.max_vel:
        if limited:
            _say(f"max_vel is {settings.max_vel:g} m/s, the script asks for up to {fastest:g} m/s")
        else:
            settings = replace(settings, max_vel=fastest)
    return run_sim(settings, script, options.interactive)


def run_real(settings: GraphSettings) -> int:
    """Run the robot's graph until it is interrupted or a critical process dies."""
    avoid_shared_memory()
    group = _make_group(settings, real=True)
    group.start()
    ending = group.wait()
    _say(f"shutting down: {ending.reason}")
    group.stop()
    return ending.code


def run_sim(settings: GraphSettings, script: Sequence[Segment], interactive: bool) -> int:
    """Run the twin's graph through a scripted walk; 0 only if it walked and never fell."""
    from aliengo_policy.scenario_node import ScenarioError, open_scenario

    # A simulation has no business on the network.
    stay_local()
    group = _make_group(settings, real=False)

    group.start()
    # Here this process is the commander: a late command is a stop. After the start, so that the
    # others do not inherit it.
    raise_priority(OPERATOR)
    scenario = open_scenario(script, settings.namespace, group.ending_reason, _say)
    endings: list[str] = []
    try:
        if interactive:
            scenario.start_walking()
            _say("walking: publish a velocity on cmd_vel; Ctrl-C ends")
            scenario.spin_until_interrupted()
        else:
            scenario.run()
    except ScenarioError as error:
        endings.append(str(error))
    finally:
        group.stop()
        scenario.close()
    if interactive:
        ending = group.poll()
        _say("; ".join(endings) or (ending.reason if ending else "end"))
        return ending.code if ending else 1
    verdict = judge(scenario.samples, script, endings)
    if scenario.samples:
        plot(scenario.samples, script, PLOT_PATH, f"policy {Path(settings.policy).stem}")
        print(format_table(verdict))
        print(f"plot: {PLOT_PATH}")
    else:
        for problem in verdict.problems:
            say(f"problem: {problem}")
    return 1 if verdict.problems else 0


def _make_group(settings: GraphSettings, real: bool) -> ProcessGroup:
    specs = real_graph(settings) if real else sim_graph(settings)
    group = ProcessGroup(specs, settings.namespace, settings.log_level)

    def on_signal(number: int, _: FrameType | None) -> None:
        group.end(signal.Signals(number).name)

    on_end_signal(on_signal)
    return group


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="bringup", description=__doc__)
    graphs = parser.add_subparsers(dest="graph", required=True)
    real = graphs.add_parser("real", help="the robot")
    sim = graphs.add_parser("sim", help="the twin; walks a script and judges it")
    for argument in REAL_ARGUMENTS:
        _add(real, argument)
    for argument in SIM_ARGUMENTS:
        _add(sim, argument)
    sim.add_argument(
        "--interactive", action="store_true", help="stand up, walk, leave cmd_vel to others"
    )
    sim.add_argument(
        "--speeds", type=float, nargs="+", help="walk forward at these instead of the script [m/s]"
    )
    sim.add_argument(
        "--hold", type=float, default=20.0, help="time that each of --speeds is given [s]"
    )
    return parser


def _add(parser: argparse.ArgumentParser, argument: Argument) -> None:
    flags = [f"--{argument.name}"]
    if "_" in argument.name:
        flags.append(f"--{argument.name.replace('_', '-')}")
    text = f"{argument.description} (default: {argument.default!r})"
    if isinstance(argument.default, bool):
        parser.add_argument(*flags, action="store_true", default=argparse.SUPPRESS, help=text)
    else:
        kind = type(argument.default)
        parser.add_argument(*flags, type=kind, default=argparse.SUPPRESS, help=text)


def _say(text: str) -> None:
    say(f"bringup | {text}")


if __name__ == "__main__":
    sys.exit(main())
