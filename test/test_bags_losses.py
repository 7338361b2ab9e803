"""Messages that got lost are counted, and told apart: on the way, or by the recorder."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from recorded_runs import STATE, low_state, typestore

from aliengo_policy.bags.losses import LossCounter
from aliengo_policy.bags.read import Bag
from aliengo_policy.bags.record import Recorder


def note(counter: LossCounter, topic: str, numbers: Sequence[int], publisher: bytes = b"a") -> None:
    for number in numbers:
        info: dict[str, Any] = {
            "publication_sequence_number": number,
            "publisher_gid": {"data": publisher},
        }
        counter.note(topic, info)


def test_a_gap_is_a_loss_and_what_came_before_the_first_is_not() -> None:
    counter = LossCounter()
    note(counter, "/low_state", [71, 72, 73, 75, 76, 80])
    note(counter, "/odom", [1, 2, 3])
    assert counter.counted
    assert counter.lost == {"/low_state": 4}


def test_publishers_of_one_topic_are_numbered_apart() -> None:
    counter = LossCounter()
    for number in range(1, 5):
        note(counter, "/diagnostics", [number], b"a")
        note(counter, "/diagnostics", [100 + number], b"b")
    note(counter, "/odom", [1, 2])
    assert counter.lost == {}
    note(counter, "/diagnostics", [7], b"a")
    assert counter.lost == {"/diagnostics": 2}


def test_a_middleware_that_numbers_nothing_is_said_to_count_nothing() -> None:
    counter = LossCounter()
    counter.note("/low_state", {"source_timestamp": 1, "received_timestamp": 2})
    counter.note("/low_state", {"publication_sequence_number": None, "publisher_gid": None})
    assert not counter.counted
    assert counter.lost == {}


def recording(folder: Path, ticks: Sequence[int], lost: dict[str, str]) -> Bag:
    """States with these ticks, and what the recorder says it has not received."""
    store = typestore()
    recorder = Recorder(folder, min_free_bytes=0)
    text, _ = store.generate_msgdef(STATE, ros_version=2)
    recorder.add_topic("/low_state", STATE, text)
    for index, tick in enumerate(ticks):
        state: Any = low_state(0)
        state.tick = tick
        data = bytes(store.serialize_cdr(state, STATE))
        recorder.write("/low_state", data, 10**18 + index, 10**18 + index)
    recorder.add_metadata("aliengo_losses", lost)
    recorder.close()
    return Bag(folder)


@pytest.fixture
def judge() -> Any:
    pytest.importorskip("rclpy", reason="the benchmark needs ROS 2")
    pytest.importorskip("aliengo_msgs.msg", reason="the messages are not built")
    from aliengo_policy.benchmark_recorder_node import judge

    return judge


def test_losses_are_told_apart(judge: Any, tmp_path: Path) -> None:
    bag = recording(tmp_path / "run", [0, 1, 4, 5, 6, 8], {"/low_state": "2", "/rosout": "9"})
    found = judge(bag, {"/low_state": 10, "/odom": 3})
    assert (found["states_sent"], found["states_recorded"], found["sent"]) == (10, 6, 13)
    assert found["lost_on_the_way"] == {"/low_state": 2}
    assert found["lost_by_the_recorder"] == {"/low_state": 2, "/odom": 3}


def test_a_whole_recording_has_no_losses(judge: Any, tmp_path: Path) -> None:
    found = judge(recording(tmp_path / "run", range(50), {}), {"/low_state": 50})
    assert found["lost_on_the_way"] == found["lost_by_the_recorder"] == {}


@pytest.mark.parametrize("ticks", [[0, 1, 1, 2], [0, 2, 1]])
def test_states_that_are_recorded_twice_are_no_substitute(
    judge: Any, tmp_path: Path, ticks: list[int]
) -> None:
    with pytest.raises(RuntimeError, match="low_state: ticks are recorded twice or out of order"):
        judge(recording(tmp_path / "run", ticks, {}), {"/low_state": len(ticks)})
