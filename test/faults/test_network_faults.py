"""What a bad network between bridge and robot may do, and what it may not."""

from __future__ import annotations

import signal
import socket
import warnings
from typing import Any

import numpy as np
import pytest
from aliengo_msgs.msg import BridgeState
from robot_graph import RobotGraph
from truth import now, wait_for

from aliengo_bridge.messages import LowState
from aliengo_bridge.protocol import encode_low_state

pytestmark = pytest.mark.integration

STATE_TIMEOUT_S = 0.05
TWIN_TIMEOUT_S = 0.2
OBSERVATION_S = 0.15
WATCH_S = 4.0
WATCHES = 3

BEARABLE: dict[str, dict[str, Any]] = {
    "5 % loss": {"fault__loss": 0.05},
    "30 % loss": {"fault__loss": 0.3},
    "delay": {"fault__delay_s": 0.02},
    "duplicates": {"fault__duplicate": 0.5},
    "reordering": {"fault__reorder": 0.2},
    "corruption": {"fault__corrupt": 0.1},
}


def watch(graph: RobotGraph, end_s: float) -> BridgeState:
    """Let the fault last until the twin's clock says so, and return the bridge's state then."""
    wait_for(lambda: graph.truth.time_s > end_s, "time under the fault")
    return graph.bridge


@pytest.mark.parametrize("name", BEARABLE)
def test_the_robot_stands_through_a_bad_network(graph: RobotGraph, name: str) -> None:
    for _ in range(WATCHES):
        before, lost_s = graph.bridge, graph.twin_lost_s()
        start = graph.inject(**BEARABLE[name])
        after = watch(graph, start + WATCH_S)
        if after.fault != "state_stale" or graph.twin_lost_s() - lost_s < STATE_TIMEOUT_S / 2:
            break
        # The machine stopped the robot itself for so long: it was silent, whatever the network does.
        warnings.warn(f"a busy machine: watched anew after {after.fault_detail}", stacklevel=1)
        graph.inject(**dict.fromkeys(BEARABLE[name], 0.0))
        graph.stand_up_again()
    assert after.fault == "", after.fault_detail
    assert all(truth.standing for truth in graph.truths if truth.time_s > start)
    if "loss" in name:
        assert after.lost > before.lost
    if name == "corruption":
        assert after.crc_errors > before.crc_errors


@pytest.mark.parametrize("faults", [{"fault__loss": 1.0}, {"fault__corrupt": 1.0}])
def test_without_a_usable_packet_the_robot_is_let_down(
    graph: RobotGraph, faults: dict[str, float]
) -> None:
    start = graph.inject(**faults)
    graph.wait_for_fault("state_stale", deadline_s=5.0)
    graph.wait_until_lying()
    # The commands are lost as well: only the robot's own time-out can help.
    assert graph.passive_since(start) < TWIN_TIMEOUT_S + OBSERVATION_S
    graph.inject(**dict.fromkeys(faults, 0.0))
    wait_for(lambda: graph.bridge.state_age_s < STATE_TIMEOUT_S, "states again")
    assert graph.bridge.state == "damping"  # it does not get up by itself


def test_a_silent_robot_is_damped(graph: RobotGraph) -> None:
    start = graph.inject(fault__silence=True)
    graph.wait_for_fault("state_stale", deadline_s=5.0)
    graph.wait_until_lying()
    assert graph.passive_since(start) < STATE_TIMEOUT_S + 0.02 + OBSERVATION_S
    ticks = graph.fault_record()
    first = int(np.flatnonzero(ticks["mode"] == "damping")[0])
    assert ticks["state_age_s"][first] < STATE_TIMEOUT_S + 0.02


def test_packets_of_others_are_counted_and_nothing_else(graph: RobotGraph) -> None:
    lie = LowState(tick=2**31)
    lie.q[:12] = 0.0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as stranger:
        for _ in range(200):
            stranger.sendto(encode_low_state(lie), ("127.0.0.1", graph.bridge_port))
            stranger.sendto(b"junk", ("127.0.0.1", graph.bridge_port))
    wait_for(lambda: graph.bridge.foreign_packets == 400, "foreign packets counted")
    assert graph.bridge.state == "active"
    assert graph.truth.standing
    wait_for(
        lambda: "others than the robot" in graph.diagnostics["bridge: link"]["message"],
        "diagnostics",
    )


def test_a_robot_that_froze_does_not_get_up_by_itself(graph: RobotGraph) -> None:
    graph.send_signal("sim", signal.SIGSTOP)
    graph.wait_for_fault("state_stale", deadline_s=5.0)
    graph.send_signal("sim", signal.SIGCONT)
    start = now()
    wait_for(lambda: graph.truth.time_s > start + 1.0, "time after the freeze")
    graph.wait_until_lying()
    assert graph.bridge.state == "damping"
