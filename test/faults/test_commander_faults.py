"""What the bridge does when the one who commands it fails."""

from __future__ import annotations

import signal
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commander import Commander
from robot_graph import RobotGraph
from standing import MOST_TRIES, starved
from truth import wait_for

pytestmark = pytest.mark.integration

COMMAND_TIMEOUT_S = 0.1
# The truth is sampled at 100 Hz, and the machine may be busy with other things.
OBSERVATION_S = 0.15


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_dead_or_frozen_policy_gives_damping(graph: RobotGraph, number: signal.Signals) -> None:
    start = graph.send_signal("policy", number)
    graph.wait_for_fault("command_stale", deadline_s=5.0)
    graph.wait_until_lying()
    assert graph.passive_since(start) < 0.12 + OBSERVATION_S
    ticks = graph.fault_record()
    first = int(np.flatnonzero(ticks["mode"] == "damping")[0])
    assert ticks["mode"][first - 1] == "active"
    assert ticks["command_age_s"][first] < COMMAND_TIMEOUT_S + 0.02
    assert (ticks["sent_kp"][first] == 0).all()


def nan_target(commander: Commander) -> None:
    commander.corrupt("q", 5, np.nan)


def huge_targets(commander: Commander) -> None:
    commander.corrupt("q", slice(0, 12), 1000.0)


def absurd_gain(commander: Commander) -> None:
    commander.corrupt("kp", 2, 1e6)


@pytest.mark.parametrize(
    ("cause", "fault"),
    [
        (nan_target, "command_invalid"),
        (huge_targets, "command_far_outside"),
        (absurd_gain, "command_gains"),
    ],
)
def test_broken_commands_give_damping(
    make_graph: Callable[..., RobotGraph], cause: Callable[[Commander], None], fault: str
) -> None:
    graph = make_graph()
    commander = Commander(graph)
    commander.stand_up(graph)
    cause(commander)
    graph.wait_for_fault(fault, deadline_s=5.0)
    graph.wait_until_lying()
    ticks = graph.fault_record()
    first = int(np.flatnonzero(ticks["mode"] == "damping")[0])
    # It was the broken command itself that stopped the robot, not the silence after it.
    assert ticks["mode"][first - 1] == "active"
    assert ticks["command_age_s"][first] < COMMAND_TIMEOUT_S
    assert (ticks["sent_kp"][first] == 0).all()
    assert np.isfinite(ticks["sent_q"]).all()
    commander.close()


def test_second_commander_is_refused_and_the_robot_sits_down(
    graph: RobotGraph, standing_policy: Path
) -> None:
    graph.start_policy(standing_policy, name="intruder")
    graph.wait_for_fault("second_commander")
    intruder = f"{graph.namespace}/intruder"
    wait_for(lambda: intruder in graph.bridge.fault_detail, "the intruder's name")
    graph.wait_for_bridge("sit_down", deadline_s=5.0)
    graph.wait_for_bridge("damping", deadline_s=6.0)
    graph.wait_until_lying()
    # It was led down, not dropped.
    assert max(np.abs(t.speeds).max() for t in graph.truths if t.height_m > 0.15) < 4.0
    assert not graph.trigger("bridge/reset_fault").success
    graph.send_signal("intruder", signal.SIGKILL)
    wait_for(lambda: graph.trigger("bridge/reset_fault").success, "reset")


def test_a_restarted_policy_is_no_second_commander(
    graph: RobotGraph, standing_policy: Path
) -> None:
    graph.send_signal("policy", signal.SIGKILL)
    graph.wait_for_fault("command_stale")
    graph.wait_until_lying()
    graph.start_policy(standing_policy)
    assert graph.trigger("bridge/reset_fault").success
    graph.stand_up()
    assert graph.bridge.fault == ""


def test_an_operator_who_is_gone_ends_the_walk(graph: RobotGraph) -> None:
    def walking() -> bool:
        graph.drive(0.0)
        graph.trigger("policy/walk")
        return graph.policy_state is not None and graph.policy_state.mode == "walk"

    for _ in range(MOST_TRIES):
        wait_for(walking, "walking")
        wait_for(lambda: graph.policy_state.mode != "walk", "the end of the walk", deadline_s=6.0)
        if not (trouble := starved(graph)):
            break
        # It is no operator that is gone when the machine stops everybody.
        warnings.warn(f"a busy machine: walked anew after {trouble}", stacklevel=1)
        graph.stand_up_again()
    assert graph.policy_state.mode == "stand", graph.describe()
    assert graph.truth.standing
    assert graph.bridge.state == "active"


def test_a_policy_that_ends_by_itself_leaves_no_fault_behind(graph: RobotGraph) -> None:
    graph.send_signal("policy", signal.SIGTERM)
    assert graph.wait_for_end("policy") == 0
    graph.wait_until_lying()
    assert graph.bridge.state in ("idle", "damping")
