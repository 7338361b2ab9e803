"""A recorder closes its file whatever ends the recording, and stores what was lost before."""

import pytest

pytest.importorskip("rclpy", reason="the recorder needs ROS 2")

from aliengo_policy.bags.losses import LossCounter
from aliengo_policy.bags.read import Bag
from aliengo_policy.bags.record import DiskFullError, Recorder
from aliengo_policy.bags.recorder_node import LOSSES, run


class Log(list):
    """Collects what is logged."""

    def info(self, text):
        self.append(text)

    warning = error = info


class Node:
    """The parts of the recorder node that `run` uses, without ROS."""

    def __init__(self, folder, drain):
        self.recorder = Recorder(folder, min_free_bytes=0)
        self.losses = LossCounter()
        self.losses.counted = True
        self.losses.lost["/low_state"] = 7
        self.drain = drain
        self.log = Log()

    def get_logger(self):
        return self.log


def fail(error):
    def drain():
        raise error

    return drain


def test_losses_are_stored_when_the_disk_is_full(tmp_path):
    node = Node(tmp_path / "run", fail(DiskFullError("400 MB are free")))
    run(node, stop=[2])
    bag = Bag(tmp_path / "run")
    assert bag.complete
    assert bag.metadata[LOSSES] == {"/low_state": "7"}
    assert "recording stopped: 400 MB are free" in node.log


def test_the_file_is_closed_when_something_unexpected_ends_the_recording(tmp_path):
    node = Node(tmp_path / "run", fail(KeyError("/topic")))
    with pytest.raises(KeyError):
        run(node, stop=[2])
    assert Bag(tmp_path / "run").complete


def test_a_file_that_cannot_be_closed_is_left_as_it_is(tmp_path, monkeypatch):
    node = Node(tmp_path / "run", lambda: None)
    monkeypatch.setattr(node.recorder, "add_metadata", lambda *_: fail(DiskFullError("full"))())
    run(node, stop=[2])
    assert any("has no index, but can be read: full" in text for text in node.log)
    assert not Bag(tmp_path / "run").complete
