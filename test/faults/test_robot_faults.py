"""What the bridge does when the robot itself is in trouble."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from commander import Commander
from robot_graph import RobotGraph
from truth import now, wait_for

pytestmark = pytest.mark.integration

# The truth is sampled at 100 Hz, and the machine may be busy with other things.
OBSERVATION_S = 0.15
# From a click to the robot: through ROS and, for the remote, through the twin.
OPERATOR_S = 0.3
L2_AND_B = (0x20, 0x02)


def test_a_robot_that_is_pushed_over_is_damped(make_graph: Callable[..., RobotGraph]) -> None:
    graph = make_graph()
    commander = Commander(graph)  # a policy would notice by itself, and perhaps first
    commander.stand_up(graph)
    graph.meet()
    graph.push(0.0, 90.0, 30.0)
    graph.wait_for_fault("tilt", deadline_s=5.0)
    tilted = wait_for(
        lambda: next((t.time_s for t in graph.truths if t.upright < np.cos(1.0)), None), "tilt"
    )
    wait_for(lambda: graph.truth.time_s > tilted + 2.0, "time after the fall")
    wait_for(lambda: graph.truth.passive and np.abs(graph.truth.speeds).max() < 0.3, "rest")
    assert graph.passive_since(tilted) < 0.02 + OBSERVATION_S
    assert "allowed 1.00" in graph.bridge.fault_detail
    # As the bridge saw it: from the first state that leans too far to the first damping packet.
    ticks = graph.fault_record()
    upright = 1.0 - 2.0 * (ticks["quaternion"][:, 1] ** 2 + ticks["quaternion"][:, 2] ** 2)
    seen = int(np.flatnonzero(upright < np.cos(1.0))[0])
    damped = int(np.flatnonzero(ticks["mode"] == "damping")[0])
    assert 0.0 <= ticks["time_s"][damped] - ticks["time_s"][seen] <= 0.02
    reset = graph.trigger("bridge/reset_fault")
    assert reset.success == (graph.truth.upright > np.cos(1.0)), reset.message
    commander.close()


def test_a_policy_whose_robot_is_pushed_over_lets_go(graph: RobotGraph) -> None:
    graph.push(0.0, 90.0, 30.0)
    # Policy and bridge have the same limit, and either may be the first to see it passed.
    wait_for(lambda: graph.policy_state.mode == "damping", "damping", deadline_s=5.0)
    wait_for(lambda: graph.bridge.state in ("idle", "damping"), "a passive bridge", deadline_s=5.0)
    wait_for(lambda: graph.truth.passive and np.abs(graph.truth.speeds).max() < 0.3, "rest")
    answer = graph.trigger("policy/stand_up")
    assert answer.success == (graph.truth.upright > np.cos(1.0)), answer.message


def test_a_hot_motor_makes_the_robot_sit_down(graph: RobotGraph) -> None:
    graph.inject(fault__hot_motor="RL_calf_joint", fault__hot_temperature=90.0)
    graph.wait_for_fault("motor_hot", deadline_s=5.0)
    assert "RL_calf_joint is 90.0 degC" in graph.bridge.fault_detail
    graph.wait_for_bridge("sit_down", deadline_s=5.0)
    graph.wait_for_bridge("damping", deadline_s=6.0)
    graph.wait_until_lying()
    assert max(np.abs(t.speeds).max() for t in graph.truths if t.height_m > 0.15) < 4.0
    assert "motor_hot" in graph.trigger("bridge/reset_fault").message


def test_a_robot_with_a_hot_motor_is_not_stood_up_and_says_why(
    make_graph: Callable[..., RobotGraph], standing_policy: Path
) -> None:
    fault = {"fault.hot_motor": "RL_calf_joint", "fault.hot_temperature": 90.0}
    graph = make_graph(policy=standing_policy, sim=fault)
    graph.wait_for_bridge("idle")
    wait_for(lambda: "motor_hot" in graph.bridge.active_faults, "the hot motor")

    def refused() -> bool:
        answer = graph.trigger("policy/stand_up")
        if answer.success:  # the policy has heard of the robot, but not of the bridge yet
            graph.trigger("policy/damping")
        return "the bridge would not drive the robot: motor_hot" in answer.message

    wait_for(refused, "a refusal with the reason")
    assert not graph.truth.standing


def test_a_lost_motor_gives_damping(graph: RobotGraph) -> None:
    graph.inject(fault__lost_motor="FR_thigh_joint")
    graph.wait_for_fault("motor_lost", deadline_s=5.0)
    assert "FR_thigh_joint is in mode" in graph.bridge.fault_detail
    graph.wait_until_lying()
    answer = graph.trigger("bridge/reset_fault")
    assert not answer.success
    assert "FR_thigh_joint is in mode 8, expected 10" in answer.message
    graph.inject(fault__lost_motor="")
    wait_for(lambda: graph.trigger("bridge/reset_fault").success, "reset")


def test_the_robots_own_remote_stops_it_with_nobody_else_alive(
    make_graph: Callable[..., RobotGraph],
) -> None:
    graph = make_graph()
    graph.wait_for_bridge("idle")
    graph.meet()
    graph.press(*L2_AND_B)
    graph.wait_for_fault("remote_stop", deadline_s=5.0)
    assert graph.bridge.state == "damping"


def test_the_robots_own_remote_stops_a_standing_robot(graph: RobotGraph) -> None:
    start = now()
    graph.press(*L2_AND_B)
    graph.wait_for_fault("remote_stop", deadline_s=5.0)
    graph.wait_until_lying()
    assert graph.passive_since(start) < 0.02 + OPERATOR_S
    assert "still pressed" in graph.trigger("bridge/reset_fault").message
    graph.press(0, 0)
    wait_for(lambda: graph.trigger("bridge/reset_fault").success, "reset")
    graph.wait_for_bridge("idle", deadline_s=5.0)


def test_a_robot_in_sport_mode_is_left_alone_and_explained(
    make_graph: Callable[..., RobotGraph],
) -> None:
    graph = make_graph(sim={"fault.sport_mode": True})
    wait_for(
        lambda: "sport mode" in graph.diagnostics.get("bridge: link", {}).get("message", ""),
        "explanation",
    )
    assert graph.bridge.state == "waiting"
    assert graph.bridge.received == 0
    graph.inject(fault__sport_mode=False)
    graph.wait_for_bridge("idle")


@pytest.mark.parametrize("way", ["topic", "best effort topic", "service"])
def test_the_emergency_stop_stops(graph: RobotGraph, way: str) -> None:
    start = now()
    if way != "service":
        graph.estop(True, way == "best effort topic")
        graph.estop(
            False, way == "best effort topic"
        )  # takes nothing back, and does not push out the True before it
    else:
        assert graph.trigger("bridge/estop").success
    graph.wait_for_fault("estop", deadline_s=5.0)
    graph.wait_until_lying()
    assert graph.passive_since(start) < 0.02 + OPERATOR_S
    assert graph.bridge.fault == "estop"
    wait_for(lambda: graph.trigger("bridge/reset_fault").success, "reset")
    graph.stand_up()
    if way == "topic":
        graph.estop(True)  # and once more
        graph.wait_for_fault("estop", deadline_s=5.0)


def test_shadow_mode_moves_nothing(make_graph: Callable[..., RobotGraph]) -> None:
    graph = make_graph(bridge={"shadow": True})
    graph.wait_for_bridge("idle")
    height = graph.truth.height_m
    commander = Commander(graph)
    commander.hold(graph.positions[-1])
    graph.wait_for_bridge("active")
    withheld = graph.collect_withheld()
    wait_for(lambda: withheld and withheld[-1].motor_cmd[0].kp == 100.0, "withheld commands")
    assert (graph.truth.torques == 0).all()
    assert graph.truth.height_m == pytest.approx(height, abs=0.02)
    commander.close()
